"""Before an experiment: is the submission whole, and does its job take every setting? Nothing of it is run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import flow
from pipeline.backends.choose import choose
from pipeline.beginning import new_record
from pipeline.errors import CourseError, Fault, InfrastructureError, Outcome, SubmissionError, UsageError
from pipeline.experiments.grid import Setting, memory_of, overrides_of
from pipeline.kinds import Job
from pipeline.listener import Silent
from pipeline.run import Record, Request, Run
from pipeline.settings import LEAST_MB, MOST_MB
from pipeline.submission import FILE, read_submission, resolve_job

ERRORS = {Outcome.INFRASTRUCTURE: InfrastructureError, Outcome.COURSE: CourseError}


@dataclass(frozen=True)
class Tried:
    """The record of the first setting's check, a copy of the submission, and the jobs of all settings, in order."""

    record: Record
    source: Path
    jobs: tuple[Job, ...]


def tried(request: Request, settings: Sequence[Setting], source: Path) -> Tried:
    """Fetches and checks the submission, which is copied to `source` where nothing is there yet.

    Raises SubmissionError with the faults of the submission, UsageError with every setting that its job does not take.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        first = request.model_copy(update={"overrides": overrides_of(settings[0])})
        run = Run.create(Path(folder) / "run", new_record(first))
        for name in ("fetch", "check"):
            flow.stage(name, run, choose(run), Silent())
        refuse_faulty(run.record)
        refuse_memory(settings, choose(run).servers.most_memory_mb())
        jobs = jobs_of(run, settings)
        if not source.exists():
            shutil.copytree(run.source, source, symlinks=True)
        return Tried(run.record, source, jobs)


def refuse_faulty(record: Record) -> None:
    if record.outcome is None:
        return
    error = ERRORS.get(record.outcome, SubmissionError)
    faults = [Fault(where, message) for where, _, message in (one.partition(": ") for one in record.faults)]
    raise error(record.reason, hint=record.hint, faults=faults)


def refuse_memory(settings: Sequence[Setting], most_mb: int | None) -> None:
    """Memory limits that no function can have here: each would end as a run that failed."""
    most = min(filter(None, (most_mb, MOST_MB)))
    asked = sorted({memory for one in settings if (memory := memory_of(one)) is not None})
    faults = [
        Fault(f"--memory {one}", f"a function may have {LEAST_MB} to {most} MB here")
        for one in asked
        if not LEAST_MB <= one <= most
    ]
    if faults:
        raise UsageError(
            "memory limits that no function can have",
            faults=faults,
            hint="leave them out; the operator of a real OpenWhisk can raise its largest",
        )


def jobs_of(run: Run, settings: Sequence[Setting]) -> tuple[Job, ...]:
    checked = run.record.checked
    assert checked is not None, "it was checked just before"
    path = run.source / FILE
    content = path.read_bytes() if path.is_file() else None
    jobs: list[Job] = []
    faults: dict[str, Fault] = {}
    for setting in settings:
        submission = read_submission(content, overrides_of(setting))
        job, found = resolve_job(submission, checked.assignment, practice=True)
        faults |= {str(one): one for one in found}
        jobs += [job] if job is not None else []
    if faults:
        raise UsageError("settings that the job does not take", faults=list(faults.values()), hint="see docs/labs.md")
    return tuple(jobs)


def parallel_keys(settings: Sequence[Setting], jobs: Sequence[Job]) -> tuple[str, ...]:
    """Keys that decide how many functions run at once: it differs between settings that differ in that key alone."""
    at_once = {tuple(setting.items()): job.at_once for setting, job in zip(settings, jobs, strict=True)}
    keys = settings[0].keys() if settings else ()

    def decides(key: str) -> bool:
        groups: dict[tuple[tuple[str, object], ...], set[int]] = {}
        for setting, number in at_once.items():
            groups.setdefault(tuple(pair for pair in setting if pair[0] != key), set()).add(number)
        return any(len(numbers) > 1 for numbers in groups.values())

    return tuple(key for key in keys if decides(key))
