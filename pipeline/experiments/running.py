"""Runs what is left of an experiment, one run at a time; after each the experiment's file is whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pipeline import flow
from pipeline.backends.choose import choose
from pipeline.beginning import new_record
from pipeline.errors import AbortedError, Outcome
from pipeline.experiments.grid import memory_of, overrides_of
from pipeline.experiments.machine import busy_percent
from pipeline.experiments.page import write_page
from pipeline.experiments.plan import RUNS, SOURCE
from pipeline.experiments.reading import ended_whole, failed_for, figures_of, reason_of
from pipeline.experiments.record import Experiment, Load, MeasuredRun, save
from pipeline.experiments.statistics import with_summary
from pipeline.files import machine_fault
from pipeline.listener import Listener, Silent
from pipeline.lock import exclusive
from pipeline.result import Result
from pipeline.run import Request, Run
from pipeline.signals import interruptible

IN_USE_HINT = "wait for it, or stop it with Ctrl-C"


class Watcher(Protocol):
    """Told how far an experiment is. `left_s` is an estimate, None while there is nothing to estimate from."""

    def run_begins(self, run: MeasuredRun, of: int, left_s: float | None) -> Listener: ...

    def run_ended(self, run: MeasuredRun, of: int) -> None: ...


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """One process at a time works on an experiment. Raises UsageError where another does."""
    try:
        with exclusive(folder / "private" / "lock", hint=IN_USE_HINT):
            yield
    except OSError as error:
        raise machine_fault(error) from error


def run_left(folder: Path, experiment: Experiment, request: Request, watcher: Watcher) -> Experiment:
    """Runs what is left and writes table and page, however it ends.

    Raises AbortedError where a person stops it: the run that was running is made anew when it goes on.
    """
    try:
        with interruptible():
            for run in experiment.left:
                listener = watcher.run_begins(run, len(experiment.runs), seconds_left(experiment))
                ended = measured(folder, run, experiment, request, listener)
                experiment = with_summary(replaced(experiment, ended))
                save(folder, experiment)
                watcher.run_ended(ended, len(experiment.runs))
    except AbortedError as error:
        raise AbortedError(error.message, hint="the same command goes on with what is left") from None
    finally:
        experiment = write_page(folder, with_summary(experiment))
    return experiment


def replaced(experiment: Experiment, run: MeasuredRun) -> Experiment:
    return experiment.model_copy(
        update={"runs": tuple(run if one.number == run.number else one for one in experiment.runs)}
    )


def seconds_left(experiment: Experiment) -> float | None:
    """By what runs of the same setting took, else by what all took."""
    took = [(one.setting, one.wall_s) for one in experiment.runs if one.wall_s is not None]
    if not took:
        return None
    mean = sum(seconds for _, seconds in took) / len(took)

    def expected(run: MeasuredRun) -> float:
        own = [seconds for setting, seconds in took if setting == run.setting]
        return sum(own) / len(own) if own else mean

    return sum(expected(one) for one in experiment.left)


def measured(
    folder: Path, run: MeasuredRun, experiment: Experiment, request: Request, listener: Listener
) -> MeasuredRun:
    """One run of the plan; a second time where the machine, not the submission, was at fault."""
    first = walked(folder, run, experiment, request, listener)
    if first.outcome is not Outcome.INFRASTRUCTURE:
        return first
    again = run.model_copy(update={"folder": f"{run.folder}-again", "first_try": first.reason})
    return walked(folder, again, experiment, request, listener)


def walked(folder: Path, run: MeasuredRun, experiment: Experiment, request: Request, listener: Listener) -> MeasuredRun:
    place = folder / RUNS / run.folder
    clear(place)
    before = busy_percent()
    began, begun = datetime.now(UTC), time.monotonic()
    asked = request.model_copy(
        update={
            "source": str(folder.resolve() / SOURCE),
            "ref": None,
            "overrides": overrides_of(run.setting),
            "memory_mb": memory_of(run.setting),
            "sandbox": experiment.sandbox,
            "arrived": began,
        }
    )
    the_run = Run.create(place, new_record(asked))
    outcome = flow.walk(the_run, choose(the_run), listener)
    if outcome is Outcome.ABORTED:
        raise AbortedError(the_run.record.reason)
    wall_s = round(time.monotonic() - begun, 3)
    load = Load(before_percent=before, after_percent=busy_percent())
    return read(the_run, run).model_copy(update={"began": began, "wall_s": wall_s, "load": load})


def read(the_run: Run, run: MeasuredRun) -> MeasuredRun:
    """The run of the plan with what its `result.json` says."""
    result = Result.model_validate_json(the_run.result_file.read_bytes())
    whole, reason = ended_whole(result), reason_of(result) or the_run.record.reason
    return run.model_copy(
        update={
            "status": "measured" if whole else "failed",
            "outcome": result.outcome,
            "failed_for": "" if whole else failed_for(result, reason),
            "reason": "" if result.outcome is Outcome.PASSED else reason,
            "run": result.run,
            "points": result.points,
            "max_points": result.max_points,
            "figures": figures_of(result),
        }
    )


def clear(place: Path) -> None:
    """Takes away what a run that was stopped or killed has left: its processes end, its folder goes."""
    if (place / "record.json").exists():
        left = Run.open(place)
        flow.cancel(left, choose(left), Silent())
    if place.exists():
        for path in [place, *place.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(place)
