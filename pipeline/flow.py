"""The walk of a submission: nine stages, each resumable, `report` always."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

from pipeline.backends import Backends
from pipeline.errors import AbortedError, InfrastructureError, Outcome, PipelineError, UsageError
from pipeline.files import machine_fault, nearly_full
from pipeline.jobs import kind
from pipeline.listener import Listener, StageLog
from pipeline.lock import exclusive, stop_holder
from pipeline.reporting.plots import preload
from pipeline.run import STAGE_NAMES, Record, Run, StageRecord, Status
from pipeline.signals import interruptible, undisturbed
from pipeline.stages.build import build
from pipeline.stages.check import check
from pipeline.stages.collect import collect
from pipeline.stages.execute import execute
from pipeline.stages.fetch import fetch
from pipeline.stages.push import push
from pipeline.stages.register import register, unregister
from pipeline.stages.render import render
from pipeline.stages.report import report

Stage = Callable[[Run, Backends, StageLog], None]

FINAL = {Outcome.PASSED, Outcome.FAILED, Outcome.LIMIT, Outcome.COURSE, Outcome.SUPERSEDED}
UNSETTLED = {Status.PENDING, Status.RUNNING}
RESUME_HINT = "`pipeline resume` goes on with it"


def stages(listener: Listener) -> dict[str, Stage]:
    """The tuple that the whole product walks along; execute alone shows its workers' progress."""

    def executing(run: Run, backends: Backends, log: StageLog) -> None:
        # the report's plots need a library whose import takes seconds; the workers do the work meanwhile
        Thread(target=preload, daemon=True).start()
        execute(run, backends, log, listener)

    functions: tuple[Stage, ...] = (fetch, check, render, build, push, register, executing, collect, report)
    return dict(zip(STAGE_NAMES, functions, strict=True))


def walk(run: Run, backends: Backends, listener: Listener) -> Outcome:
    """Takes a run through all stages that are not done yet; its outcome."""
    with working_on(run):
        return to_the_end(run, backends, listener)


def stage(name: str, run: Run, backends: Backends, listener: Listener) -> Outcome | None:
    """Takes a run through one stage; its outcome as far as it is known. A stage that is done is not done again.

    Raises UsageError where an earlier stage has not been walked through.
    """
    if name not in STAGE_NAMES:
        raise UsageError(f"there is no stage {name!r}", hint=f"the stages are {', '.join(STAGE_NAMES)}")
    with working_on(run):
        if name == "report":
            return finish(run, backends, listener)
        waiting = next((one.name for one in run.record.stages if one.status in UNSETTLED), name)
        if STAGE_NAMES.index(waiting) < STAGE_NAMES.index(name) and run.record.outcome is None:
            raise UsageError(f"stage {name} comes after {waiting}", hint=f"first `pipeline stage {waiting}`")
        walk_stage(name, run, backends, listener)
        return run.record.outcome


def again(run: Run, renewed: Callable[[], Record]) -> None:
    """Makes a run that an earlier build began ready for its stages to be walked along anew.

    What still works on it stops. What ended for the student's part stays as it is. After a fault of the course's
    settings it begins anew with `renewed()`, a record of the same id under the settings of today.
    """
    stop_holder(run.in_use_file)
    with working_on(run):
        if run.record.outcome is Outcome.COURSE:
            run.record = renewed()
            run.save()
        elif run.record.outcome not in FINAL:
            reopen(run)


def resume(run: Run, backends: Backends, listener: Listener) -> Outcome:
    """Goes on with a run that was killed, stopped, or failed for a reason that was not the student's."""
    with working_on(run):
        record = run.record
        if record.outcome in FINAL and record.stage("report").status is Status.DONE:
            return record.outcome
        if record.outcome not in FINAL:
            reopen(run)
        return to_the_end(run, backends, listener)


def cancel(run: Run, backends: Backends, listener: Listener) -> Outcome:
    """Stops a run, wherever it is: its processes end, the pool is free, the actions are gone. Harmless twice."""
    stop_holder(run.in_use_file)
    with working_on(run):
        if run.record.stage("report").status is Status.DONE:
            clean_up(run, backends)
            return run.record.outcome or Outcome.INFRASTRUCTURE
        if run.record.outcome is None:
            run.update(outcome=Outcome.ABORTED, reason="cancelled", hint=RESUME_HINT)
        return finish(run, backends, listener)


@contextmanager
def working_on(run: Run) -> Iterator[None]:
    """Holds the run, and reads its record anew: another process may have worked on it meanwhile.

    Raises UsageError where one still does, InfrastructureError where the run's folder cannot be written to.
    """
    try:
        with exclusive(run.in_use_file), interruptible():
            run.reload()
            yield
    except OSError as error:
        raise machine_fault(error) from error


def to_the_end(run: Run, backends: Backends, listener: Listener) -> Outcome:
    """The stages that are not settled yet, then the report. A failure that was final before is not tried again."""
    over = run.record.outcome is not None
    try:
        for name in STAGE_NAMES[:-1]:
            if not over or run.record.stage(name).status in UNSETTLED:
                walk_stage(name, run, backends, listener)
    except BaseException:  # such as a full disk, on which no record can be kept
        with suppress(PipelineError, OSError), undisturbed():
            clean_up(run, backends)
        raise
    return finish(run, backends, listener)


def reopen(run: Run) -> None:
    """Forgets the outcome and every stage from the first that did not end well; harmless twice.

    Actions, which went with the build that has ended, are registered anew where a stage needs them.
    """
    unfinished = [one.name for one in run.record.stages if one.status is not Status.DONE and one.name != "register"]
    again = set(STAGE_NAMES[STAGE_NAMES.index(unfinished[0] if unfinished else "report") :])
    if again != {"report"}:
        again.add("register")
    kept = tuple(StageRecord(name=one.name) if one.name in again else one for one in run.record.stages)
    run.update(stages=kept, outcome=None, reason="", hint="", faults=(), points=None)


def walk_stage(name: str, run: Run, backends: Backends, listener: Listener) -> None:
    """One stage with its record, its log and its share of the outcome. What goes wrong in it, the record says.

    Raises OSError where no record can be kept.
    """
    if run.record.stage(name).status is Status.DONE:
        listener.stage_ended(run.record.stage(name))
        return
    begun = time.monotonic()
    try:
        fault = attempt(name, run, backends, listener)
        ended = ending(name, fault, time.monotonic() - begun)
        settle(run, ended, fault, listener)
    except AbortedError as error:  # it came between the stage and its record
        settle(run, ending(name, error, time.monotonic() - begun), error, listener)


def attempt(name: str, run: Run, backends: Backends, listener: Listener) -> PipelineError | Skipped | None:
    """What kept the stage from being done."""
    if run.record.outcome is not None and not needed_after_failure(name, run):
        return Skipped(f"not reached: {why_over(run.record)}")
    run.update_stage(StageRecord(name=name, status=Status.RUNNING))
    listener.stage_started(name)
    try:
        stages(listener)[name](run, backends, stage_log(name, run, listener))
    except PipelineError as error:
        if error.outcome is Outcome.INFRASTRUCTURE and nearly_full(run.folder):
            # in the reason too: of a parked submission staff read that alone
            error.message = f"the disk is nearly full: {error.message}"
            error.hint = f"make room on the disk of {run.folder}, then `pipeline resume`"
        return error
    except OSError as error:
        keep_traceback(name, run)
        return machine_fault(error)
    except Exception as error:  # whatever it is, it must not become a student's failure
        keep_traceback(name, run)
        reason = f"a fault of the pipeline itself in {name}: {type(error).__name__}: {error}"
        return InfrastructureError(reason, hint="tell the staff")
    return None


def why_over(record: Record) -> str:
    """`check failed`, or the outcome where no stage has failed."""
    failed = next((one.name for one in record.stages if one.status is Status.FAILED), None)
    return f"{failed} failed" if failed else str(record.outcome)


@dataclass(frozen=True)
class Skipped:
    """Why a stage was not tried."""

    message: str


def ending(name: str, fault: PipelineError | Skipped | None, seconds: float) -> StageRecord:
    if fault is None:
        return StageRecord(name=name, status=Status.DONE, seconds=round(seconds, 3))
    if isinstance(fault, Skipped):
        return StageRecord(name=name, status=Status.SKIPPED, reason=fault.message)
    return StageRecord(name=name, status=Status.FAILED, seconds=round(seconds, 3), reason=fault.message)


def needed_after_failure(name: str, run: Run) -> bool:
    """A report is always made; what an execution that failed left behind is still collected for it."""
    return name == "report" or (name == "collect" and run.record.stage("execute").status is Status.FAILED)


def settle(run: Run, ended: StageRecord, fault: PipelineError | Skipped | None, listener: Listener) -> None:
    """Writes down how a stage ended and whose fault it was, in one step: a kill leaves both or neither."""
    blamed = blame(run, fault) if isinstance(fault, PipelineError) else {}
    run.update_stage(ended, **blamed)
    listener.stage_ended(ended)


def blame(run: Run, error: PipelineError) -> dict[str, Any]:
    """The part of the record that says whose fault it was: the first failure stands, an abort is never a student's."""
    if run.record.outcome is not None and not isinstance(error, AbortedError):
        return {}
    faults = tuple(str(fault) for fault in error.faults)
    return {"outcome": error.outcome, "reason": error.message, "hint": error.hint, "faults": faults}


def finish(run: Run, backends: Backends, listener: Listener) -> Outcome:
    """Frees what the run holds, then reports; no signal stops it. A run without an outcome is infrastructure's."""
    with undisturbed():
        try:
            clean_up(run, backends)
        except (PipelineError, OSError):
            keep_traceback("clean-up", run)
        walk_stage("report", run, backends, listener)
        if run.record.outcome is None:
            run.update(**blame(run, InfrastructureError("the run ended without an outcome", hint=RESUME_HINT)))
    return run.record.outcome or Outcome.INFRASTRUCTURE


def clean_up(run: Run, backends: Backends) -> None:
    """Ends the run's processes and servers and deletes its actions."""
    if run.record.checked is not None:
        kind(run.record.checked.job.kind).release(run)
    if not backends.servers.started():
        return
    try:
        backends.servers.cancel()
        unregister(run, backends)
    finally:
        backends.servers.stop()


def stage_log(name: str, run: Run, listener: Listener) -> StageLog:
    """A function that appends a line to the stage's log and shows it."""
    run.logs.mkdir(parents=True, exist_ok=True)

    def log(text: str) -> None:
        with run.stage_log(name).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        listener.note(name, text)

    return log


def keep_traceback(name: str, run: Run) -> None:
    """The traceback is staff's: it lies with the hidden logs."""
    run.hidden_logs.mkdir(parents=True, exist_ok=True)
    with (run.hidden_logs / f"{name}.traceback.log").open("a", encoding="utf-8") as file:
        file.write(traceback.format_exc() + "\n")
