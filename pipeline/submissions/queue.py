"""Who is next: fair between students, pushes before regrades, the newest push of an assignment alone. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.settings import Course, late_days
from pipeline.submissions.entry import Entry, Priority, State

LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True)
class Place:
    """Where a waiting submission stands; `number` is 1 for the next."""

    number: int
    waiting: int
    reason: str


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """The waiting entries as they will be started.

    Students take turns: the first submission of each goes before the second of any, those that run count as served.
    Within a turn the earliest arrival is first.
    """
    served = Counter(one.student for one in entries if one.state is State.STARTED)
    waiting = sorted(
        (one for one in entries if one.state is State.WAITING),
        key=lambda one: (one.priority is Priority.REGRADE, one.arrived, one.id),
    )
    turns: list[tuple[bool, int, datetime, str, Entry]] = []
    for one in waiting:
        turns.append((one.priority is Priority.REGRADE, served[one.student], one.arrived, one.id, one))
        served[one.student] += 1
    return [turn[-1] for turn in sorted(turns, key=lambda turn: turn[:-1])]


def waits(entry: Entry, at: datetime) -> bool:
    """Whether it is too early for the next try; one further away than any wait was written before the clock was set."""
    return entry.not_before is not None and at < entry.not_before <= at + LONGEST_WAIT


def startable(entries: Sequence[Entry], at: datetime) -> list[Entry]:
    """The waiting entries that may start now, in order: one of a student at a time, none before its time."""
    busy = {one.student for one in entries if one.state is State.STARTED}
    found = []
    for one in in_order(entries):
        if one.student not in busy and not waits(one, at):
            found.append(one)
            busy.add(one.student)
    return found


def places(entries: Sequence[Entry], at: datetime) -> dict[str, Place]:
    """By its id the place of each waiting submission, with the reason why it does not run."""
    order = in_order(entries)
    running = [one.student for one in entries if one.state is State.STARTED]
    busy = set(running)
    found = {}
    for number, entry in enumerate(order, start=1):
        if waits(entry, at):
            reason = f"{entry.reason or 'it could not be started'}; the next try is at {entry.not_before:%H:%M:%S} UTC"
        elif entry.student in busy:
            reason = "another one of the same student runs"
        else:
            reason = f"{len(running)} run now"
        found[entry.id] = Place(number, len(order), reason)
    return found


def earlier_ones(entry: Entry, entries: Iterable[Entry], course: Course) -> int:
    """How many pushes before this one, which it does not supersede, are not over and may each need an attempt."""
    assignment = course.assignment_of(entry.student, entry.assignment)
    deadline = assignment.deadline if assignment else None
    days = late_days(entry.arrived, deadline)
    return sum(
        (one.student, one.assignment, one.priority) == (entry.student, entry.assignment, Priority.PUSH)
        and late_days(one.arrived, deadline) < days
        for one in entries
    )


def superseded(entries: Iterable[Entry], course: Course) -> dict[str, Entry]:
    """Waiting pushes that a newer one of the same student and assignment makes needless: id -> the newer one.

    Never across a deadline or a late day: the older one may be worth more points.
    """
    newest: dict[tuple[str, str, int], Entry] = {}
    found: dict[str, Entry] = {}
    pushes = [one for one in entries if one.priority is Priority.PUSH]
    for one in sorted(pushes, key=lambda one: (one.arrived, one.id), reverse=True):
        assignment = course.assignment_of(one.student, one.assignment)
        days = late_days(one.arrived, assignment.deadline) if assignment else 0
        key = (one.student, one.assignment, days)
        if key in newest and one.state is State.WAITING:
            found[one.id] = newest[key]
        newest.setdefault(key, one)
    return found
