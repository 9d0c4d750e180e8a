"""The walk of a submission: nine stages, each resumable, `report` always."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from threading import Thread

from pipeline.backends import Backends
from pipeline.errors import AbortedError, InfrastructureError, Outcome, PipelineError, UsageError
from pipeline.listener import Listener, StageLog
from pipeline.lock import exclusive, held, interruptible, stop_holder
from pipeline.reporting.plots import preload
from pipeline.run import STAGE_NAMES, Run, StageRecord, Status
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
    with exclusive(run.in_use_file), interruptible():
        for name in STAGE_NAMES[:-1]:
            walk_stage(name, run, backends, listener)
        return finish(run, backends, listener)


def stage(name: str, run: Run, backends: Backends, listener: Listener) -> Outcome | None:
    """Takes a run through one stage; its outcome as far as it is known. A stage that is done is not done again.

    Raises UsageError where an earlier stage has not been walked through.
    """
    if name not in STAGE_NAMES:
        raise UsageError(f"there is no stage {name!r}", hint=f"the stages are {', '.join(STAGE_NAMES)}")
    with exclusive(run.in_use_file), interruptible():
        if name == "report":
            return finish(run, backends, listener)
        waiting = next((s.name for s in run.record.stages if s.status in {Status.PENDING, Status.RUNNING}), name)
        if STAGE_NAMES.index(waiting) < STAGE_NAMES.index(name) and run.record.outcome is None:
            raise UsageError(f"stage {name} comes after {waiting}", hint=f"first `pipeline stage {waiting}`")
        walk_stage(name, run, backends, listener)
        return run.record.outcome


def resume(run: Run, backends: Backends, listener: Listener) -> Outcome:
    """Goes on with a run that was killed, stopped, or failed for a reason that was not the student's."""
    if run.record.outcome in FINAL:
        return run.record.outcome
    with exclusive(run.in_use_file):
        if run.record.outcome is not None or any(one.status is not Status.DONE for one in run.record.stages):
            reopen(run)
    return walk(run, backends, listener)


def cancel(run: Run, backends: Backends, listener: Listener) -> Outcome:
    """Stops a run, wherever it is: its processes end, the pool is free, the actions are gone. Harmless twice."""
    if held(run.in_use_file) and stop_holder(run.in_use_file):
        return Run.open(run.folder).record.outcome or Outcome.ABORTED
    with exclusive(run.in_use_file):
        if run.record.outcome is None:
            run.update(outcome=Outcome.ABORTED, reason="cancelled", hint="`pipeline resume` goes on with it")
            return finish(run, backends, listener)
        clean_up(run, backends)
        return run.record.outcome


def reopen(run: Run) -> None:
    """Forgets the outcome and every stage from the first that did not end well; actions are registered anew."""
    unfinished = [number for number, one in enumerate(run.record.stages) if one.status is not Status.DONE]
    again = STAGE_NAMES[min([*unfinished, STAGE_NAMES.index("report")]) :]
    kept = tuple(StageRecord(name=one.name) if one.name in {*again, "register"} else one for one in run.record.stages)
    run.update(stages=kept, outcome=None, reason="", hint="", faults=(), points=None)


def walk_stage(name: str, run: Run, backends: Backends, listener: Listener) -> None:
    """One stage with its record, its log and its share of the outcome. Raises nothing: the record says it."""
    if run.record.stage(name).status is Status.DONE:
        listener.stage_ended(run.record.stage(name))
        return
    if run.record.outcome is not None and not needed_after_failure(name, run):
        reason = f"not reached: {run.record.outcome}"
        settle(run, StageRecord(name=name, status=Status.SKIPPED, reason=reason), listener)
        return
    run.update_stage(StageRecord(name=name, status=Status.RUNNING))
    listener.stage_started(name)
    begun = time.monotonic()
    reason, status = "", Status.DONE
    try:
        stages(listener)[name](run, backends, stage_log(name, run, listener))
    except PipelineError as error:
        reason, status = error.message, Status.FAILED
        blame(run, error)
    except Exception as error:  # whatever it is, it must not become a student's failure
        reason, status = f"{type(error).__name__}: {error}", Status.FAILED
        keep_traceback(name, run)
        blame(run, InfrastructureError(f"a fault of the pipeline itself in {name}: {reason}", hint="tell the staff"))
    ended = StageRecord(name=name, status=status, seconds=round(time.monotonic() - begun, 3), reason=reason)
    settle(run, ended, listener)


def needed_after_failure(name: str, run: Run) -> bool:
    """A report is always made; what an execution that failed left behind is still collected for it."""
    return name == "report" or (name == "collect" and run.record.stage("execute").status is Status.FAILED)


def settle(run: Run, ended: StageRecord, listener: Listener) -> None:
    run.update_stage(ended)
    listener.stage_ended(ended)


def finish(run: Run, backends: Backends, listener: Listener) -> Outcome:
    """Frees what the run holds, then reports. A run that reaches its end without an outcome is infrastructure's."""
    try:
        clean_up(run, backends)
    except (PipelineError, OSError):
        keep_traceback("clean-up", run)
    walk_stage("report", run, backends, listener)
    if run.record.outcome is None:
        blame(run, InfrastructureError("the run ended without an outcome", hint="`pipeline resume` goes on with it"))
    return run.record.outcome or Outcome.INFRASTRUCTURE


def clean_up(run: Run, backends: Backends) -> None:
    """Ends the run's processes and servers and deletes its actions."""
    if not run.servers_file.exists():
        return
    backends.servers.cancel()
    unregister(run, backends)
    backends.servers.stop()


def blame(run: Run, error: PipelineError) -> None:
    """Writes down whose fault it was; the first failure stands, and an abort is never a student's failure."""
    if run.record.outcome is None or isinstance(error, AbortedError):
        faults = tuple(str(fault) for fault in error.faults)
        run.update(outcome=error.outcome, reason=error.message, hint=error.hint, faults=faults)


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
