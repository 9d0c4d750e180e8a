"""The dispatcher: takes what waits in the spool to its end, whoever is killed meanwhile.

Everything that it knows lies in the spool and with the builds. It may be stopped between any two steps, and the next
one goes on: a build is named by its submission's id, starting it twice starts it once, and an end is written once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline.backends.ci import Builds, Look
from pipeline.errors import Outcome, PipelineError, ThrottledError
from pipeline.files import machine_fault
from pipeline.settings import Course
from pipeline.submissions.arrivals import attempts_used, reconcile
from pipeline.submissions.entry import Entry, State, now
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.queue import LONGEST_WAIT, earlier_ones, startable, superseded
from pipeline.submissions.repositories import bound_sizes
from pipeline.submissions.spool import Spool

TRIES = 4
"""Starts of one submission before it is parked for staff to look at."""
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 300.0
RECONCILE_S = 60.0
KEPT_BACK, KEPT_BACK_S = "an earlier submission of yours is not graded yet and may need the last attempt", 60.0
LONGEST_S = 12 * 3600.0
"""A build ends by the limits of its stages, or its server's; one that has run for so long hangs."""


@dataclass(frozen=True)
class Settings:
    """`slots`: builds at a time. `longest_s`: of a build, before it counts as hung."""

    slots: int
    tries: int = TRIES
    first_wait_s: float = FIRST_WAIT_S
    longest_s: float = LONGEST_S


class Dispatcher:
    """One at a time works on a spool; the caller holds its lock."""

    def __init__(
        self,
        course: CourseFolder,
        spool: Spool,
        builds: Builds,
        settings: Settings,
        clock: Callable[[], datetime] = now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.course, self.spool, self.builds, self.settings = course, spool, builds, settings
        self.clock, self.ticks = clock, ticks
        self.reconciled: datetime | None = None
        self.first_seen: dict[str, float] = {}
        self.troubles: list[str] = []
        """What went wrong in the last step with a submission or a repository; it stands in no other's way."""

    def step(self) -> bool:
        """One round: what has ended, what arrived unseen, what is needless, what can start. True where any was.

        What runs is followed also while the course's settings cannot be read, which is raised after it.
        """
        self.troubles = []
        changed, running = False, [one for one in self.spool.active() if one.state is State.STARTED]
        self.first_seen = {one.id: self.first_seen[one.id] for one in running if one.id in self.first_seen}
        for entry in running:
            changed |= self.each(self.follow, entry)
        course = self.course.course()
        changed |= self.find_unseen(course)
        changed |= self.supersede(self.spool.active(), course)
        changed |= self.start(course)
        self.troubles += [f"{fault.message}; {fault.hint}" for fault in self.spool.faults.values()]
        return changed

    def each(self, work: Callable[[Entry], bool], entry: Entry) -> bool:
        try:
            return work(entry)
        except (PipelineError, OSError) as error:
            self.troubles.append(f"submission {entry.short}: {error}")
            return False

    def pause(self) -> None:
        """Stops what runs, in order; it waits, and the next dispatcher goes on with it. No try is used up.

        It is written down first: a build found stopped for no reason would be the staff's affair. Those that did not
        stop are in `troubles`.
        """

        self.troubles = []

        def stop(entry: Entry) -> bool:
            self.change(entry, state=State.WAITING, reason="the server was stopped", tries=entry.tries - 1)
            self.builds.cancel(entry)
            return True

        for entry in self.spool.active():
            if entry.state is State.STARTED:
                self.each(stop, entry)

    def find_unseen(self, course: Course) -> bool:
        """Once a minute; also what staff have changed that git asks its own settings for."""
        at = self.clock()
        if self.reconciled is not None and abs((at - self.reconciled).total_seconds()) < RECONCILE_S:
            return False
        self.reconciled = at
        bound_sizes(self.course, course, self.troubles.append)
        return bool(reconcile(self.course, self.spool, self.troubles.append))

    def supersede(self, entries: list[Entry], course: Course) -> bool:
        changed = False
        for submission, newer in superseded(entries, course).items():

            def over(entry: Entry, newer: Entry = newer) -> Entry | None:
                if entry.state is not State.WAITING:
                    return None
                values = {"state": State.SUPERSEDED, "superseded_by": newer.id, "ended": self.clock()}
                return entry.model_copy(update=values | {"outcome": Outcome.SUPERSEDED})

            changed |= self.spool.change(submission, over) is not None
        return changed

    def start(self, course: Course) -> bool:
        """Fills the free slots. A start is written down before it is made: after a kill it is made again."""
        entries = self.spool.active()
        free = self.settings.slots - sum(one.state is State.STARTED for one in entries)
        chosen = startable(entries, self.clock())[: max(0, free)]
        over = self.spool.over() if chosen else []

        def begin(entry: Entry) -> bool:
            used = attempts_used(over, entry.student, entry.assignment)
            refusal = self.refusal(entry, course, used)
            if refusal:
                return self.change(entry, state=State.REFUSED, reason=refusal, ended=self.clock())
            if not entry.regrade_of and self.is_kept_back(course, used, entry, entries):
                self.wait(entry, KEPT_BACK, KEPT_BACK_S, entry.tries)
                return True
            started = self.begin(entry, entry.attempt if entry.regrade_of else used + 1)
            if started is not None:
                self.make_start(started)
            return True

        for entry in chosen:
            self.each(begin, entry)
        return bool(chosen)

    def refusal(self, entry: Entry, course: Course, used: int) -> str:
        """Why a submission is not graded: asked when it starts, as those before it may have used the attempts up."""
        assignment = course.assignment_of(entry.student, entry.assignment)
        if assignment is None:
            return f"the course has no assignment {entry.assignment}"
        if assignment.attempts is not None and used >= assignment.attempts and not entry.regrade_of:
            return f"all {assignment.attempts} attempts were used by earlier submissions"
        return ""

    def is_kept_back(self, course: Course, used: int, entry: Entry, entries: list[Entry]) -> bool:
        """Whether it would take an attempt from a push in better time, which waits for want of a server."""
        assignment = course.assignment_of(entry.student, entry.assignment)
        if assignment is None or assignment.attempts is None:
            return False
        return used + earlier_ones(entry, entries, course) >= assignment.attempts

    def begin(self, entry: Entry, attempt: int) -> Entry | None:
        """Writes down that it is started; None where somebody else decided otherwise meanwhile."""
        values = {"state": State.STARTED, "started": self.clock(), "tries": entry.tries + 1, "reason": ""}
        values |= {"attempt": attempt, "not_before": None}

        def begun(one: Entry) -> Entry | None:
            return one.model_copy(update=values) if one.state is State.WAITING else None

        return self.spool.change(entry.id, begun)

    def make_start(self, entry: Entry) -> None:
        try:
            self.builds.start(entry)
            if self.spool.get(entry.id).state.is_over:  # staff ended it meanwhile, and found no build to stop yet
                self.builds.cancel(entry)
        except ThrottledError as error:
            self.wait(entry, error.message, error.wait_s, entry.tries - 1)
        except PipelineError as error:
            self.again(entry, error.message)
        except OSError as error:
            self.again(entry, machine_fault(error).message)

    def follow(self, entry: Entry) -> bool:
        """Takes over what has become of a started build."""
        try:
            look = self.builds.look(entry)
        except ThrottledError as error:
            return self.change(entry, reason=error.message)
        except PipelineError as error:
            if self.is_stuck(entry):
                return self.give_up(entry, error.message)
            return self.change(entry, reason=error.message)
        if look.state == "lost":
            self.again(entry, look.reason)
            return True
        if look.state == "ended":
            self.end(entry, look)
            return True
        if look.state == "running" and self.is_stuck(entry):
            return self.give_up(entry)
        return self.change(entry, reason=look.reason, build_url=look.url or entry.build_url)

    def is_stuck(self, entry: Entry) -> bool:
        """Whether a build has run past every limit of its own, by a clock that nobody sets."""
        return self.ticks() > self.first_seen.setdefault(entry.id, self.ticks()) + self.settings.longest_s

    def give_up(self, entry: Entry, why: str = "") -> bool:
        """A build that does not end takes no slot for ever; whether it can be stopped, staff are told.

        `why` says what has kept its end from being seen.
        """
        reason = f"its build did not end within {self.settings.longest_s / 3600:g} h and was stopped"
        reason = "; ".join(filter(None, (reason, why)))
        try:
            self.builds.cancel(entry)
        except PipelineError as error:
            reason = f"its build does not end: {error.message}; {error.hint}"
        return self.change(entry, state=State.PARKED, reason=reason)

    def end(self, entry: Entry, look: Look) -> None:
        if look.outcome is Outcome.INFRASTRUCTURE:
            self.again(entry, look.reason)
        elif look.outcome in {Outcome.ABORTED, Outcome.COURSE}:
            self.change(entry, state=State.PARKED, reason=look.reason or "its build was stopped")
        else:
            self.change(
                entry,
                state=State.GRADED,
                outcome=look.outcome,
                points=look.points,
                most_points=look.most_points,
                reason=look.reason,
                build_url=look.url,
                ended=self.clock(),
            )

    def again(self, entry: Entry, reason: str) -> None:
        """Another try after a while, or, after too many, the staff's affair. No try costs the student anything."""
        if entry.tries >= self.settings.tries:
            self.change(entry, state=State.PARKED, reason=f"{reason} ({entry.tries} tries)")
            return
        longest = min(LONGEST_WAIT_S, self.settings.first_wait_s * 2.0 ** (entry.tries - 1))
        self.wait(entry, reason, longest * random.uniform(0.5, 1.0), entry.tries)

    def wait(self, entry: Entry, reason: str, seconds: float, tries: int) -> None:
        later = self.clock() + min(timedelta(seconds=seconds), LONGEST_WAIT)
        self.change(entry, state=State.WAITING, reason=reason, not_before=later, tries=tries)

    def change(self, entry: Entry, **values: Any) -> bool:
        """Whether anything changed; nothing does where staff ended the submission meanwhile."""
        return self.spool.change(entry.id, lambda one: one.model_copy(update=values)) is not None
