"""Grading again: at low priority, beside the grades that stand, which change when staff apply it and not before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.submissions.entry import Entry, Priority, State, now, submission_id
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.grades import applied
from pipeline.submissions.results import result_of
from pipeline.submissions.spool import Spool

COPIED = ("course", "assignment", "student", "repository", "ref", "old", "new", "arrived", "attempt")


@dataclass(frozen=True)
class Difference:
    """What a regrade would change. `notes` say what it was graded with that the grading which stands was not."""

    before: Entry
    after: Entry
    notes: tuple[str, ...] = ()

    @property
    def is_one(self) -> bool:
        return (self.before.points, self.before.outcome) != (self.after.points, self.after.outcome)


def regrade(spool: Spool, assignment: str, students: Sequence[str] = ()) -> list[Entry]:
    """Puts every graded submission of the assignment, of these students or of all, into the queue again.

    A regrade that was not applied or discarded yet must be first. Raises UsageError.
    """
    over = spool.over()
    unended = [one for one in spool.active() if one.regrade_of]
    if any(one.assignment == assignment for one in [*pending(over), *unended]):
        raise UsageError(f"a regrade of {assignment} is open", hint="`pipeline regrade apply DIR` or `discard` first")
    rounds = len(unended) + sum(one.regrade_of != "" for one in over)
    chosen = [
        one
        for one in over
        if one.state is State.GRADED
        and not one.regrade_of
        and one.assignment == assignment
        and (not students or one.student in students)
    ]
    if not chosen:
        raise UsageError(f"nothing of {assignment} was graded yet", hint="`pipeline grades DIR` shows what was")
    added = [again(one, rounds) for one in chosen]
    for one in added:
        spool.add(one)
    return added


def again(entry: Entry, number: int) -> Entry:
    """The submission as it arrived, to be graded once more; `number` tells regrades of one submission apart."""
    values = {key: getattr(entry, key) for key in COPIED}
    name = submission_id("regrade", entry.id, str(number), entry.new)
    return Entry(id=name, regrade_of=entry.id, priority=Priority.REGRADE, **values)


def words_of(entry: Entry) -> str:
    """What tells a regrade from a push, for whoever reads a list; empty for a push."""
    if not entry.regrade_of:
        return ""
    counts = ", and counts in its place" if entry.applied else "; it does not count before the staff say so"
    return f"submission {entry.regrade_of[:10]} graded again{'' if entry.state is State.REFUSED else counts}"


def pending(over: Sequence[Entry]) -> list[Entry]:
    """Regrades that have ended and were neither applied nor discarded."""
    return [one for one in over if one.regrade_of and one.state is State.GRADED and one.applied is None]


def differences(course: CourseFolder, spool: Spool) -> list[Difference]:
    """Every regrade that could be applied, beside the grading that it would take the place of."""
    over = spool.over()
    standing = {one.id: one for one in over} | applied(over)
    return [
        Difference(standing[one.regrade_of], one, notes(course, standing[one.regrade_of], one))
        for one in pending(over)
        if one.regrade_of in standing
    ]


def notes(course: CourseFolder, before: Entry, after: Entry) -> tuple[str, ...]:
    """Where base, lock or settings were not the same: then a difference need not be the submission's."""
    old, new = result_of(course, before), result_of(course, after)
    if old is None or new is None:
        return ("one of the two runs is not here any more",)
    found = []
    if old.image and new.image and old.image.base_digest != new.image.base_digest:
        found.append("another base")
    if old.image and new.image and old.image.lock_sha256 != new.image.lock_sha256:
        found.append("another lock")
    if old.settings_sha256 != new.settings_sha256:
        found.append("other settings of the course")
    return tuple(found)


def apply(spool: Spool) -> list[Entry]:
    """Lets every regrade that has ended count. What still waits or runs is left as it is."""
    at = now()
    return [
        spool.amend(one.id, lambda entry: entry.model_copy(update={"applied": at})) for one in pending(spool.over())
    ]


def discard(spool: Spool) -> list[Entry]:
    """Lets no open regrade count, how far it has come; each as it was: a started one has a build to stop."""
    values = {"state": State.REFUSED, "reason": "the staff have discarded this regrade", "ended": now()}
    before: list[Entry] = []

    def end(entry: Entry) -> Entry:
        before.append(entry)
        return entry.model_copy(update=values)

    for one in spool.active():
        if one.regrade_of:
            spool.change(one.id, end)
    for one in pending(spool.over()):  # also what has ended since
        spool.amend(one.id, end)
    return before
