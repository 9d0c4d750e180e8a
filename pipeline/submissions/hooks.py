"""What git's hooks do with a push, whether a process of their own does it or the server that is there already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.settings import Limits
from pipeline.submissions.arrivals import known_of, spool_pushes
from pipeline.submissions.entry import Entry, now
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.follow import MOST_S, follow
from pipeline.submissions.hook_client import FOLLOWS, UPDATES_BYTES
from pipeline.submissions.places import Places
from pipeline.submissions.references import politely, read_updates, unreadable


class Pusher(Protocol):
    """Who waits for the end of the push. Both methods raise OSError where nobody does any more."""

    def say(self, line: str) -> None: ...

    def wait(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Push:
    """One push to a student's repository for an assignment.

    `told`: what git tells the hook of the references that it moves. `variables`: those of the environment that say
    where git keeps the new objects meanwhile, and how long the pusher wants to follow.
    """

    student: str
    assignment: str
    told: str
    variables: Mapping[str, str]


def pre_receive(course: CourseFolder, places: Places, push: Push, pusher: Pusher) -> int:
    """0 lets the push in; 1 refuses it as a whole, with every reason."""
    from pipeline.submissions.receiving import refusals, rewritten, too_much  # git's client, which the other needs not

    updates, spool = read_updates(push.told), places.spool
    repository = course.repository(push.student, push.assignment)
    assignment = course.course().assignment_of(push.student, push.assignment)
    known = known_of(course, spool, push.student, push.assignment)
    found = unreadable(push.told, UPDATES_BYTES) or refusals(updates, assignment, known, push.student, now())
    found += rewritten(repository, updates, push.variables)
    found += too_much(repository, updates, (assignment.limits if assignment else Limits()).source_mb)
    for reason in found:
        pusher.say(f"refused: {reason}")
    return 1 if found else 0


def post_receive(course: CourseFolder, places: Places, push: Push, pusher: Pusher) -> int:
    """Spools first, then speaks: what was pushed is kept whether anybody listens or not."""
    updates, spool = read_updates(push.told), places.spool
    graded = [one.new for one in updates if one.is_graded and not one.deletes]
    if graded:
        spool_pushes(course, spool, push.student, push.assignment)
    for line in politely(updates):
        pusher.say(line)
    known = known_of(course, spool, push.student, push.assignment) if graded else []
    entry = max((one for one in known if one.new in graded), key=lambda one: one.arrived, default=None)
    if entry is None:
        return 0
    arrived = f"arrived {entry.arrived:%Y-%m-%d %H:%M:%S} UTC"
    pusher.say(f"submission {entry.short} of {entry.assignment}, {arrived}{lateness_of(course, entry)}")
    how = push.variables.get(FOLLOWS)
    if how != "0":
        longest = 0.0 if how == "briefly" else MOST_S
        for line in follow(course, places, entry.id, most_s=longest, sleep=pusher.wait):
            pusher.say(line)
    return 0


def lateness_of(course: CourseFolder, entry: Entry) -> str:
    """What coming after the deadline costs, said when there is still a choice; empty where it is in time."""
    from pipeline.grading import late_words, lateness  # the graders' part, which the other hook needs not

    assignment = course.course().assignment_of(entry.student, entry.assignment)
    words = late_words(lateness(entry.arrived, assignment.deadline, assignment.late)) if assignment else ""
    return f", {words}" if words else ""


HOOKS: Mapping[str, Callable[[CourseFolder, Places, Push, Pusher], int]] = {
    "pre-receive": pre_receive,
    "post-receive": post_receive,
}
