"""The beginning of a run: what was asked for, the course's settings, the folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.beginning import new_record
from pipeline.errors import Fault, UsageError
from pipeline.run import Request, Run
from pipeline.settings import Sandbox

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
    record = new_record(request)
    place = folder or Path("runs") / record.run
    try:
        return Run.create(place, record)
    except OSError as error:
        raise UsageError(f"{place} cannot be made: {error.strerror}", hint="name another --out") from None


def refuse_docker(sandbox: Sandbox) -> None:
    if sandbox is Sandbox.DOCKER:
        raise UsageError("the docker sandbox is not there yet", hint="use --sandbox process")
