"""The beginning of a run: what was asked for, the course's settings, the folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.course import load_course
from pipeline.errors import Fault, UsageError
from pipeline.run import Record, Request, Run, new_run_id
from pipeline.settings import Course, Sandbox

OVERRIDE = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)


def parse_overrides(settings: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE pairs. Raises UsageError that names every one of another form."""
    matches = [(text, OVERRIDE.fullmatch(text)) for text in settings]
    faults = [Fault(f"--set {text}", "is not KEY=VALUE") for text, match in matches if match is None]
    if faults:
        raise UsageError("settings that cannot be read", faults=faults, hint="such as --set epochs=1")
    return tuple((match[1], match[2]) for _, match in matches if match)


def begin(request: Request, folder: Path | None) -> Run:
    """Makes the folder of a new run, `runs/<id>` where none is named.

    Raises CourseError with every fault of the course file, UsageError where the folder holds a run or cannot be
    written to, or where the sandbox is one that is not there yet.
    """
    refuse_docker(request.sandbox)
    course = load_course(request.course_file).course
    run = new_run_id()
    record = Record(
        run=run,
        request=request,
        course=course,
        settings_sha256=settings_sha256(course),
        created=datetime.now(UTC),
    )
    place = folder or Path("runs") / run
    try:
        return Run.create(place, record)
    except OSError as error:
        raise UsageError(f"{place} cannot be made: {error.strerror}", hint="name another --out") from None


def settings_sha256(course: Course) -> str:
    """The hash by which two runs are known to have had the same settings."""
    return hashlib.sha256(course.model_dump_json().encode()).hexdigest()


def refuse_docker(sandbox: Sandbox) -> None:
    if sandbox is Sandbox.DOCKER:
        raise UsageError("the docker sandbox is not there yet", hint="use --sandbox process")
