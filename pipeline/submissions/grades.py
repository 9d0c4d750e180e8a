"""Grades of a course: which submission counts for each student and assignment. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.settings import Course, late_days
from pipeline.submissions.entry import Entry, State

COLUMNS = ("student", "assignment", "points", "of", "outcome", "attempts", "late_days", "arrived", "commit", "id")


@dataclass(frozen=True)
class GradeRow:
    """What counts of one student for one assignment. `entry` is the submission, `graded` it or its applied regrade."""

    student: str
    assignment: str
    entry: Entry
    graded: Entry
    attempts: int
    late_days: int

    def values(self) -> tuple[str, ...]:
        points = "" if self.graded.points is None else f"{self.graded.points:g}"
        most = "" if self.graded.most_points is None else f"{self.graded.most_points:g}"
        outcome = self.graded.outcome.value if self.graded.outcome else ""
        return (
            *(self.student, self.assignment, points, most, outcome, str(self.attempts), str(self.late_days)),
            *(self.entry.arrived.isoformat(), self.entry.new, self.entry.id),
        )


@dataclass(frozen=True)
class UngradedRow:
    """Nothing of one student was graded for one assignment."""

    student: str
    assignment: str
    most_points: float

    def values(self) -> tuple[str, ...]:
        return (self.student, self.assignment, "", f"{self.most_points:g}", "", "0", "", "", "", "")


def grades(entries: Sequence[Entry], course: Course) -> list[GradeRow]:
    """The best or the last submission of each student, as the assignment says; of equal ones the earlier."""
    regrades = applied(entries)
    rows = []
    groups: dict[tuple[str, str], list[Entry]] = {}
    for one in sorted(entries, key=lambda one: (one.arrived, one.id)):
        if one.state is State.GRADED and not one.regrade_of:
            groups.setdefault((one.student, one.assignment), []).append(one)
    for (student, name), submitted in sorted(groups.items()):
        assignment = course.assignment_of(student, name)
        graded = [regrades.get(one.id, one) for one in submitted]
        at = len(graded) - 1
        if assignment is None or assignment.counts == "best":
            at = max(range(len(graded)), key=lambda place: (graded[place].points or 0.0, -place))
        used = sum(one.outcome is not None and one.outcome.counts_as_attempt for one in submitted)
        days = late_days(submitted[at].arrived, assignment.deadline) if assignment else 0
        rows.append(GradeRow(student, name, submitted[at], graded[at], used, days))
    return rows


def with_everyone(rows: Sequence[GradeRow], students: Iterable[str], course: Course) -> list[GradeRow | UngradedRow]:
    """These rows, and one for each assignment of which a student has none; by student, then assignment."""
    found = {(one.student, one.assignment) for one in rows}
    missing = [
        UngradedRow(student, one.name, one.max_points)
        for student in students
        for one in course.assignments
        if (student, one.name) not in found
    ]
    return sorted([*rows, *missing], key=lambda one: (one.student, one.assignment))


def applied(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The regrade that counts for each submission: the one that was applied last."""
    found: dict[str, Entry] = {}
    for one in sorted((one for one in entries if one.applied), key=lambda one: str(one.applied)):
        found[one.regrade_of] = one
    return found


def as_csv(rows: Iterable[GradeRow | UngradedRow]) -> str:
    """A text that spreadsheets read; none of its cells is a formula, as names are full matches of small letters."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.values() for row in rows)
    return text.getvalue()
