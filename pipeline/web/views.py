"""What the pages show, put together from spool and builds. Text of students is made harmless here, escaped there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from pipeline.errors import PipelineError, UsageError
from pipeline.result import Result, StageResult
from pipeline.run import Run, StageRecord
from pipeline.settings import Assignment
from pipeline.submissions.arrivals import attempts_used
from pipeline.submissions.brought import brought_to
from pipeline.submissions.entry import Entry, State, now
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.follow import ConsoleTail
from pipeline.submissions.grades import grades
from pipeline.submissions.queue import Place, places
from pipeline.submissions.regrades import words_of
from pipeline.verdict import PUBLISHED

LOG_LINES = 2000


@dataclass(frozen=True)
class Row:
    """One submission in a list. `is_live`: it goes on by itself; a parked one waits for staff."""

    id: str
    short: str
    student: str
    assignment: str
    arrived: str
    state: str
    said: str
    what: str
    points: str
    is_over: bool
    is_live: bool


@dataclass(frozen=True)
class Standing:
    """How one student stands with one assignment."""

    name: str
    title: str
    points: str
    attempts: str
    until: str
    late: str


def standings(course: CourseFolder, student: str, entries: list[Entry]) -> list[Standing]:
    """By assignment, in the order of `course.toml`; none while that cannot be read. `entries` are the student's."""
    try:
        settings = course.course()
    except PipelineError:
        return []
    counting = {one.assignment: one.graded for one in grades(entries, settings)}
    return [
        standing(one.of(student), counting.get(one.name), attempts_used(entries, student, one.name))
        for one in settings.assignments
    ]


def standing(assignment: Assignment, counting: Entry | None, used: int) -> Standing:
    rule, deadline = assignment.late, assignment.deadline
    late_days = f"{rule.days} late day{'s' if rule.days > 1 else ''}, {rule.percent_a_day:g} % of the points for each"
    return Standing(
        name=assignment.name,
        title=assignment.title,
        points=points(counting) if counting else "",
        attempts=str(used) if assignment.attempts is None else f"{used} of {assignment.attempts}",
        until=f"{deadline:%Y-%m-%d %H:%M:%S %Z}" if deadline else "none",
        late="" if deadline is None else late_days if rule.days else "closed",
    )


def points(entry: Entry) -> str:
    return "" if entry.points is None else f"{entry.points:g} of {entry.most_points or 0:g}"


def rows(entries: Iterable[Entry], active: list[Entry]) -> list[Row]:
    """The newest first."""
    ordered = sorted(entries, key=lambda one: (one.arrived, one.id), reverse=True)
    known = places(active, now())
    return [row(one, known.get(one.id)) for one in ordered]


def row(entry: Entry, place: Place | None) -> Row:
    if place is not None:
        how = f"place {place.number} of {place.waiting}: {place.reason}"
    elif entry.state is State.SUPERSEDED:
        how = f"by {entry.superseded_by[:10]}"
    else:
        how = entry.reason
    state = entry.outcome.value if entry.state is State.GRADED and entry.outcome else entry.state.value
    return Row(
        id=entry.id,
        short=entry.short,
        student=entry.student,
        assignment=entry.assignment,
        arrived=entry.arrived.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        state=state,
        said="running" if entry.state is State.STARTED else state,
        what="; ".join(filter(None, (words_of(entry), how))),
        points=points(entry),
        is_over=entry.state.is_over,
        is_live=entry.state in {State.WAITING, State.STARTED},
    )


def stages_of(course: CourseFolder, entry: Entry, result: Result | None) -> Sequence[StageRecord | StageResult]:
    """As the record says where the run is here; of a run elsewhere its result says it, once it is over."""
    try:
        return Run.open(course.run(entry.id)).record.stages
    except UsageError:
        return result.stages if result else ()


def traces(course: CourseFolder, submission: str) -> tuple[int, ...]:
    """Times of what is replaced whenever a place, a state or a stage changes; other numbers, another page."""
    times = []
    for path in (course.spool / "active", course.run(submission) / "record.json"):
        try:
            times.append(path.stat().st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times)


def left_out(course: CourseFolder, entry: Entry) -> dict[str, str]:
    """Files of a report that stayed on the build server, and why."""
    brought = brought_to(course.run(entry.id))
    return brought.left_out if brought else {}


def elsewhere(entry: Entry) -> str:
    """The build's address where other pages than these show it."""
    here = entry.build_url.endswith(f"/submissions/{entry.id}")
    return entry.build_url if entry.build_url.startswith(("http://", "https://")) and not here else ""


def log_of(course: CourseFolder, entry: Entry) -> list[str]:
    """The last lines of the console; the first line says so where there were more."""
    lines: deque[str] = deque(maxlen=LOG_LINES)
    number = 0
    for line in ConsoleTail(course.console(entry.id)).lines(last=entry.state is not State.STARTED):
        number += 1
        lines.append(line)
    left_out = [f"[{number - LOG_LINES} lines before these are left out]"] if number > LOG_LINES else []
    return [*left_out, *lines]


def report_file(course: CourseFolder, entry: Entry, name: str) -> Path | None:
    """A file of the run that its student may read; None for any other, and for what leads out of the folder."""
    folder = course.run(entry.id)
    parts = Path(name).parts
    if not parts or parts[0] not in PUBLISHED or ".." in parts:
        return None
    path = folder.joinpath(*parts)
    try:
        inside = path.is_file() and not path.is_symlink() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a name that is too long for any file
        return None
    return path if inside else None
