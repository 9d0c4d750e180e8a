"""From a moved reference to an entry in the spool: by the hook at once, by the reconciler where a kill came between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pipeline.errors import InfrastructureError, PipelineError
from pipeline.settings import Assignment, Course
from pipeline.submissions.entry import Entry, submission_id
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.references import REF
from pipeline.submissions.reflogs import Moved, pushes, repositories
from pipeline.submissions.spool import Spool

HOOKS_TAKE = timedelta(minutes=5)
"""At the most, from the answer of pre-receive until the reference has moved: with many pushes at a time."""


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
    return unspooled(course, spool, course.course(), student, assignment)


def unspooled(course: CourseFolder, spool: Spool, settings: Course, student: str, assignment: str) -> list[Entry]:
    pushed = entries_of_pushes(course, settings.name, student, assignment)
    asked = settings.assignment_of(student, assignment)
    return [one for one in pushed if not spool.knows(one.id) and spool.add(let_in(one, asked))]


def let_in(entry: Entry, assignment: Assignment | None) -> Entry:
    """A push that was let in is not too late by what the hooks took between their yes and the reference."""
    last = assignment.open_until if assignment else None
    if assignment is None or last is None or not assignment.is_too_late(entry.arrived):
        return entry
    after = entry.arrived - last
    if after > HOOKS_TAKE:
        return entry
    return entry.model_copy(update={"arrived": last.replace(microsecond=0) + after / 1000})  # behind those before it


def entries_of_pushes(course: CourseFolder, course_name: str, student: str, assignment: str) -> list[Entry]:
    """Each push of a repository as it arrived, the earliest first."""
    repository = course.repository(student, assignment)
    return [entry_of(course_name, student, assignment, repository, moved, attempt=1) for moved in pushes(repository)]


def known_of(course: CourseFolder, spool: Spool, student: str, assignment: str) -> list[Entry]:
    """What the spool has of a repository's pushes: by their ids, however many others have pushed how often."""
    pushed = entries_of_pushes(course, course.course().name, student, assignment)
    found = []
    for one in pushed:
        with suppress(InfrastructureError):  # a broken file is the staff's affair and keeps nobody from pushing
            found.append(spool.find(one.id))
    return [one for one in found if one is not None]


def reconcile(course: CourseFolder, spool: Spool, complain: Callable[[str], None] = lambda _said: None) -> list[Entry]:
    """Finds pushes that a kill took between the reference and the spool, in all repositories of the course.

    What cannot be read of one repository is complained of, and stands in nobody else's way.
    """
    settings = course.course()
    added = []
    for student, assignment, repository in repositories(course):
        try:
            added += unspooled(course, spool, settings, student, assignment)
        except (PipelineError, OSError) as error:
            complain(f"{repository}: {error}")
    return added


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
