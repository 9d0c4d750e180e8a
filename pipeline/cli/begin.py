"""The beginning of a run: what was asked for, the course's settings, the folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pipeline.beginning import new_record
from pipeline.errors import Fault, UsageError
from pipeline.run import Request, Run

RUN_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# what makes it the same submission; which attempt it is may change while others of the student are graded
SUBMITTED = ("source", "ref", "student", "assignment", "arrived")
OVERRIDE = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)


def parse_overrides(settings: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE pairs. Raises UsageError that names every one of another form."""
    matches = [(text, OVERRIDE.fullmatch(text)) for text in settings]
    faults = [Fault(f"--set {text}", "is not KEY=VALUE") for text, match in matches if match is None]
    if faults:
        raise UsageError("settings that cannot be read", faults=faults, hint="such as --set epochs=1")
    return tuple((match[1], match[2]) for _, match in matches if match)


def begin(request: Request, folder: Path | None, run_id: str | None = None) -> Run:
    """Makes the folder of a new run, `runs/<id>` where none is named.

    Raises CourseError with every fault of the course file, UsageError where the folder holds a run or cannot be
    written to, InfrastructureError where docker is asked for and does not answer.
    """
    if run_id is None:  # a person's; with an id it is a submission's, and whatever it meets stands in its record
        refuse_no_source(request.source)
    record = new_record(request, run_id)
    place = folder or Path("runs") / record.run
    try:
        return Run.create(place, record)
    except OSError as error:
        raise UsageError(f"{place} cannot be made: {error.strerror}", hint="name another --out") from None


def refuse_no_source(source: str) -> None:
    """Raises UsageError for a mistyped folder, before anything is made of it."""
    from pipeline.stages.fetch import is_url

    if not is_url(source) and not Path(source).expanduser().is_dir():
        raise UsageError(f"{source} is no folder", hint="give a folder or a git URL")


def begin_or_go_on(request: Request, folder: Path, run_id: str) -> Run:
    """The run of a submission that may have been begun by an earlier build: the same submission never counts twice.

    Raises UsageError where the id has another form or the folder holds the run of another submission.
    """
    from pipeline import flow  # imports of the stages take seconds, which --help must not

    if not RUN_ID.fullmatch(run_id):
        raise UsageError(f"--id {run_id!r} is no id of a run", hint="small letters, digits and - inside, 63 at most")
    if not (folder / "record.json").exists():
        return begin(request, folder, run_id)
    the_run = Run.open(folder)
    kept = the_run.record
    if kept.run != run_id or any(getattr(kept.request, key) != getattr(request, key) for key in SUBMITTED):
        raise UsageError(
            f"{folder} holds the run {kept.run} of {kept.request.student}, which is of another submission",
            hint="name another --out, or the --id and the options that it was begun with",
        )
    flow.again(the_run, lambda: new_record(request, run_id))
    if the_run.record.outcome is None and the_run.record.request.attempt != request.attempt:
        the_run.update(request=the_run.record.request.model_copy(update={"attempt": request.attempt}))
    return the_run


def arrival(text: str) -> datetime:
    """A time with its zone. Raises UsageError for any other text: a deadline must not depend on a machine's zone."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise UsageError(f"--arrived {text!r} is no time with a zone", hint="such as 2027-01-31T23:59:00+01:00")
    return when
