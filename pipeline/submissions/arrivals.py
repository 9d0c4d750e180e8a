"""From a moved reference to an entry in the spool: by the hook at once, by the reconciler where a kill came between."""

from __future__ import annotations

from pathlib import Path

from pipeline.submissions.entry import Entry, submission_id
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.repositories import REF, Moved, pushes, repositories
from pipeline.submissions.spool import Spool


def entry_of(
    course_name: str, student: str, assignment: str, repository: Path | str, moved: Moved, attempt: int
) -> Entry:
    return Entry(
        id=submission_id(f"{course_name}/{student}/{assignment}", REF, moved.old, moved.new),
        course=course_name,
        assignment=assignment,
        student=student,
        repository=str(repository),
        ref=REF,
        old=moved.old,
        new=moved.new,
        arrived=moved.arrived,
        attempt=attempt,
    )


def spool_pushes(course: CourseFolder, spool: Spool, student: str, assignment: str) -> list[Entry]:
    """Spools every push of a repository that the spool does not know; those that were added, the earliest first.

    Hook and reconciler do the same: whoever comes first adds it, and the other finds it there.
    """
    repository = course.repository(student, assignment)
    name = course.course().name
    added = []
    for moved in pushes(repository):
        entry = entry_of(name, student, assignment, repository, moved, attempt=1)
        if spool.add(entry):
            added.append(entry)
    return added


def reconcile(course: CourseFolder, spool: Spool) -> list[Entry]:
    """Finds pushes that a kill took between the reference and the spool, in all repositories of the course."""
    return [
        entry
        for student, assignment, _ in repositories(course)
        for entry in spool_pushes(course, spool, student, assignment)
    ]


def attempts_used(entries: list[Entry], student: str, assignment: str) -> int:
    """Submissions that used up an attempt: those whose outcome was the student's. Regrades never do."""
    return sum(
        one.student == student
        and one.assignment == assignment
        and not one.regrade_of
        and one.outcome is not None
        and one.outcome.counts_as_attempt
        for one in entries
    )
