"""check: settings, Python files and requirements of a submission. Every fault at once, those of fetch included."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.course import cache_folder
from pipeline.errors import CourseError, Fault, SubmissionError
from pipeline.files import write_text
from pipeline.kinds import TRAITS
from pipeline.package_tool import PackageTool
from pipeline.python_files import check_entry, check_python
from pipeline.requirements import FILE as REQUIREMENTS
from pipeline.requirements import Requirements, read_requirements
from pipeline.run import Checked, Record, done
from pipeline.settings import Assignment, Course, Isolation, late_days
from pipeline.submission import FILE as SUBMISSION
from pipeline.submission import chosen_assignment, read_submission, resolve_job

if TYPE_CHECKING:
    from pipeline.backends import Backends
    from pipeline.backends.images import Base
    from pipeline.listener import StageLog
    from pipeline.locks import Lock
    from pipeline.run import Run

UNUSED = {
    "Dockerfile": "the course's base and your requirements.txt make the image; list packages there",
    "start.sh": "the job starts by itself; put what it did into your Python files and submission.toml",
    "setup.py": "your files are imported as they are; list packages in requirements.txt",
    "environment.yml": "list packages in requirements.txt",
    "Pipfile": "list packages in requirements.txt",
    "poetry.lock": "list packages in requirements.txt",
}


def check(run: Run, backends: Backends, log: StageLog) -> None:
    """Leaves the job and the lock of its wheels.

    Raises SubmissionError with every fault of the tree, the settings, the Python files and the requirements;
    CourseError for a base that is none; InfrastructureError where the package index cannot be reached.
    """
    record = run.record
    done(record.fetched, "fetch")
    overrides = record.request.overrides
    submission = read_submission(content_of(run.source / SUBMISSION), overrides)
    assignment = chosen_assignment(record.course, record.request.assignment, submission)
    faults = list(record.fetch_faults)
    if isinstance(assignment, Fault):
        faults += [*submission.faults, assignment, *check_python(run.source, files_of(run.source))]
        raise failed(faults)
    refuse_late(record, assignment)
    refuse_attempt(record, assignment)
    require_isolation(record.course, assignment, record.isolation)
    job, found = resolve_job(submission, assignment, practice=record.course.practice)
    base = backends.images.base(assignment.base)
    requirements = wanted(run.source / REQUIREMENTS, base, assignment)
    faults += [*found, *check_python(run.source, files_of(run.source))]
    if not record.fetch_faults and not submission.faults:
        # a file that fetch refused is not missing, and settings that cannot be read do not say which one it is
        for needed in TRAITS[assignment.job.kind].defines:
            faults += check_entry(run.source, (job or assignment.job).file, needed)
    faults += requirements.faults
    if job is None or faults:
        raise failed(faults)
    lock = locked(run, requirements, base, assignment)
    notes = (*unused(run.source), *lock.notes)
    run.update(
        checked=Checked(assignment=assignment, job=job, lock_sha256=lock.sha256, locked=lock.packages, notes=notes)
    )
    log(f"assignment {assignment.name}, {'practice, not a grade' if record.course.practice else 'graded'}")
    log(f"requirements: {', '.join(lock.packages) or 'nothing beyond the base'}{' (kept lock)' if lock.kept else ''}")
    for note in notes:
        log(f"note: {note}")


def content_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def files_of(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py") if path.is_file())


def failed(faults: list[Fault]) -> SubmissionError:
    number = f"{len(faults)} fault{'s' if len(faults) != 1 else ''}"
    first = f"{faults[0]}" if len(faults) == 1 else "; ".join(str(fault.where) for fault in faults[:8])
    them = "it" if len(faults) == 1 else "them"
    return SubmissionError(f"{number} in the submission: {first}", hint=f"mend {them} and push again", faults=faults)


def refuse_late(record: Record, assignment: Assignment) -> None:
    """Raises SubmissionError after the deadline and its late days; practice is never late."""
    days = late_days(record.request.arrived, assignment.deadline)
    if record.course.practice or assignment.deadline is None or days <= assignment.late.days:
        return
    last = assignment.deadline + timedelta(days=assignment.late.days)
    raise SubmissionError(
        f"{assignment.name} arrived {record.request.arrived:%Y-%m-%d %H:%M %Z}, after {last:%Y-%m-%d %H:%M %Z}",
        hint=f"the deadline was {assignment.deadline.isoformat()} with {assignment.late.days} late days: ask the staff",
    )


def require_isolation(course: Course, assignment: Assignment, found: Isolation | None) -> None:
    """Raises CourseError where student code would be kept apart less than the assignment asks for; practice may."""
    least = assignment.least_isolation
    if not course.practice and (found or Isolation.NONE).rank < least.rank:
        docker = least is Isolation.CONTAINER
        needed = "--sandbox docker and an engine that answers" if docker else "more of this machine"
        raise CourseError(
            f"assignment {assignment.name} asks for isolation {least}, and this run has {found or 'none'}",
            hint=f"it needs {needed} (`pipeline doctor` says what is here), or another least_isolation in course.toml",
        )


def refuse_attempt(record: Record, assignment: Assignment) -> None:
    """Raises SubmissionError where all attempts were used; practice has no end."""
    number, allowed = record.request.attempt, assignment.attempts
    if not record.course.practice and allowed is not None and number > allowed:
        hint = f"the {assignment.counts} one counts; ask the staff for another"
        raise SubmissionError(f"attempt {number} of {assignment.name}, which has {allowed}", hint=hint)


def wanted(path: Path, base: Base, assignment: Assignment) -> Requirements:
    return read_requirements(content_of(path) or b"", base.packages, assignment.packages, base.markers)


def locked(run: Run, requirements: Requirements, base: Base, assignment: Assignment) -> Lock:
    """The lock, which is also written into the run's folder."""
    from pipeline.locks import lock

    cache = cache_folder(run.record.course)
    tool = PackageTool.of(run.record.course, assignment, cache)
    found = lock(requirements, base, assignment, cache, tool)
    write_text(run.requirements_lock, found.text)
    return found


def unused(root: Path) -> tuple[str, ...]:
    """Files that students push to such systems and that are not used here: why, and what to do."""
    return tuple(f"{name} is not used: {advice}" for name, advice in UNUSED.items() if (root / name).is_file())
