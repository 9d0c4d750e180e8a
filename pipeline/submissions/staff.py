"""What staff do: make a course's folder, add students, bring what was parked back, end what shall not be graded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.backends.ci import Builds
from pipeline.errors import CourseError, InfrastructureError, ThrottledError, UsageError
from pipeline.files import write_text
from pipeline.lock import in_turn
from pipeline.submissions.entry import Entry, State, now
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import add_member, read_members
from pipeline.submissions.names import checked_name
from pipeline.submissions.remotes import add_remote, read_remotes
from pipeline.submissions.repositories import make_repository
from pipeline.submissions.spool import LISTED, Spool
from pipeline.text import one_line

AGAIN = frozenset({State.PARKED, State.REFUSED, State.SUPERSEDED})
"""What staff can let be tried again; a superseded one when the newer push was ended."""
LEAST_OF_ID = 4


def create_course(folder: Path, template: Path | None) -> CourseFolder:
    """A course's folder with the settings of `template`; one that is there keeps its settings, and needs none.

    There every student gets repositories for new assignments, and hooks that name the folder and the program of today.
    """
    course = CourseFolder(folder)
    for part in (course.folder, course.repositories, course.spool, course.builds, course.secrets):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not course.course_file.exists():
        lay_settings(course, template)
    settings = course.course()
    if not course.named():
        write_text(course.name_file, f"{settings.name}\n")
    with in_turn(course.roster_lock):
        for name in read_members(course):
            make_repositories(course, name)
    return course


def strangers(course: CourseFolder) -> list[str]:
    """Extensions of nobody: a slip of the pen that would show when the student pushes too late."""
    known = read_members(course)
    return [
        f"{assignment.name} has an extension of {one.student}, and no student or team has that name"
        for assignment in course.course().assignments
        for one in assignment.extensions
        if one.student not in known
    ]


def lay_settings(course: CourseFolder, template: Path | None) -> None:
    """What cannot be read as settings is taken away again: staff mend the template, and the next time it is taken."""
    hint = "name a course.toml with --from"
    if template is None:
        raise UsageError(f"{course.folder} has no course.toml yet", hint=hint)
    try:
        text = template.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{template} cannot be read: {error.strerror}", hint=hint) from None
    except UnicodeDecodeError:
        raise UsageError(f"{template} is no text in UTF-8", hint=hint) from None
    write_text(course.course_file, text)
    try:
        course.course()
    except CourseError as error:
        course.course_file.unlink()
        laid, given = str(course.course_file), str(template)
        faults = [replace(one, where=one.where.replace(laid, given)) for one in error.faults]
        raise CourseError(error.message.replace(laid, given), hint=error.hint, faults=faults) from None


def has_other_settings(folder: Path, template: Path) -> bool:
    """Whether the folder is a course's already, with settings that are not those of `template`."""
    try:
        return CourseFolder(folder).course_file.read_bytes() != template.read_bytes()
    except OSError:
        return False


def add_student(
    course: CourseFolder, name: str, keys: tuple[str, ...] = (), urls: Mapping[str, str] | None = None
) -> tuple[str, list[Path]]:
    """Makes a repository for each assignment; the student's new token and the repositories. Harmless a second time.

    `urls` says for which assignments the work lies with a forge instead; what was said before stays. Whoever adds
    several at a time adds them one after the other: they stand in the same files.
    """
    with in_turn(course.roster_lock):
        return added(course, name, keys, urls or {})


def added(course: CourseFolder, name: str, keys: tuple[str, ...], urls: Mapping[str, str]) -> tuple[str, list[Path]]:
    assignments = course.course().assignments
    for assignment, url in urls.items():
        if all(one.name != assignment for one in assignments):
            known = ", ".join(one.name for one in assignments)
            raise UsageError(f"the course has no assignment {one_line(assignment, 40)!r}", hint=f"it has {known}")
        add_remote(course, checked_name(name), assignment, url)
    token = add_member(course, name, keys)
    return token, make_repositories(course, name)


def make_repositories(course: CourseFolder, name: str) -> list[Path]:
    """Those of a student: one for each assignment that lies with no forge."""
    elsewhere = {one.assignment for one in read_remotes(course) if one.student == name}
    here = [one for one in course.course().assignments if one.name not in elsewhere]
    return [make_repository(course, name, one.name, most_mb=one.limits.source_mb) for one in here]


def found(spool: Spool, text: str) -> Entry:
    """The submission whose id begins so. Raises UsageError where there is none or more than one."""
    if len(text) < LEAST_OF_ID:
        raise UsageError(f"{text!r} is too short for a submission", hint=f"give {LEAST_OF_ID} characters of its id")
    matching = [one for one in [*spool.active(), *spool.over()] if one.id.startswith(text)]
    if not matching:
        raise UsageError(f"no submission's id begins with {text!r}", hint=LISTED)
    if len(matching) > 1:
        raise UsageError(f"{text!r} names {len(matching)} submissions", hint="give more of the id")
    return matching[0]


def retry(spool: Spool, text: str) -> Entry:
    """Lets a submission be tried again that was parked, refused or superseded, with its time of arrival as it was."""

    def again(one: Entry) -> Entry:
        if one.state not in AGAIN:
            raise UsageError(
                f"submission {one.short} is {one.state}", hint="parked, refused and superseded ones can be tried again"
            )
        values = {"state": State.WAITING, "reason": "", "tries": 0, "not_before": None, "ended": None, "outcome": None}
        return one.model_copy(update=values | {"superseded_by": ""})

    return spool.reopen(found(spool, text).id, again)


def drop(spool: Spool, text: str, why: str) -> Entry:
    """Ends a submission ungraded, at no cost of an attempt; the entry before: a started one has a build to stop."""
    entry = found(spool, text)
    values = {"state": State.REFUSED, "reason": why, "ended": now()}
    before: list[Entry] = []

    def end(one: Entry) -> Entry:
        before.append(one)
        return one.model_copy(update=values)

    if spool.change(entry.id, end) is None:
        raise UsageError(
            f"submission {entry.short} is over already: {entry.state}",
            hint="what was graded stays; `pipeline regrade` grades it again",
        )
    return before[-1]


def stop_build(builds: Builds, entry: Entry) -> None:
    """Stops the build of a submission that was ended. Raises InfrastructureError where it cannot be stopped."""
    try:
        builds.cancel(entry)
    except InfrastructureError as error:
        # of a server that is away it says that it is asked again, which nobody does here
        how = "stop it where it runs" if isinstance(error, ThrottledError) else error.hint
        raise InfrastructureError(
            f"submission {entry.short} is ended ungraded, but its build goes on: {error.message}",
            hint=f"{how}, or let it end: what it comes to does not count",
        ) from error
