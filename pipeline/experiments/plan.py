"""The plan of an experiment: a new one, or the one that its folder holds already, with what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.experiments.grid import Setting, Value, folder_of, points_of, rounds
from pipeline.experiments.machine import cpu_effect, machine
from pipeline.experiments.record import Experiment, MeasuredRun, load, save
from pipeline.experiments.trial import Tried, parallel_keys, tried
from pipeline.run import Request

SOURCE = "source"
RUNS = "runs"


def planned(
    folder: Path, request: Request, axes: Mapping[str, Sequence[Value]], repeat: int, order_seed: int
) -> Experiment:
    """The experiment of this folder, with every run that is asked for; what is measured already stays as it is.

    Raises UsageError where the folder holds another experiment, and what `tried` raises.
    """
    kept = load(folder)
    settings = points_of(axes)
    source = folder / SOURCE
    if kept is not None:
        refuse_other_keys(kept, axes, folder)
        settings = list({tuple(one.items()): one for one in (*(run.setting for run in kept.runs), *settings)}.values())
    found = tried(request, settings, source)
    experiment = begun(request, found, repeat, order_seed) if kept is None else kept
    refuse_other(experiment, begun(request, found, repeat, order_seed), folder)
    wanted = rounds(points_of(axes), repeat, experiment.order_seed)
    experiment = experiment.model_copy(
        update={
            "repeat": max(repeat, experiment.repeat),
            "parallel": parallel_keys(settings, found.jobs),
            "runs": with_missing(experiment.runs, wanted),
        }
    )
    save(folder, experiment)
    return experiment


def begun(request: Request, found: Tried, repeat: int, order_seed: int) -> Experiment:
    record = found.record
    fetched, checked = record.fetched, record.checked
    assert fetched is not None and checked is not None, "it was fetched and checked just before"
    return Experiment(
        created=datetime.now(UTC),
        source=request.source,
        ref=request.ref,
        commit=fetched.commit,
        tree_sha256=fetched.tree_sha256,
        kind=checked.job.kind,
        assignment=checked.assignment.name,
        title=checked.assignment.title,
        sandbox=record.request.sandbox,
        isolation=record.isolation,
        unenforced=record.unenforced,
        cpu_effect=cpu_effect(record.course, record.request.sandbox),
        machine=machine(),
        order_seed=order_seed,
        repeat=repeat,
        runs=(),
    )


def refuse_other_keys(kept: Experiment, axes: Mapping[str, Sequence[Value]], folder: Path) -> None:
    if kept.keys != tuple(axes):
        raise UsageError(
            f"{folder} holds an experiment over {', '.join(kept.keys) or 'nothing'}, this is over "
            f"{', '.join(axes) or 'nothing'}",
            hint="name the same keys in the same order, or another --out",
        )


def refuse_other(kept: Experiment, asked: Experiment, folder: Path) -> None:
    """Runs of another submission, assignment or sandbox cannot be compared with those that are there."""
    differing = [
        words
        for words, field in (
            ("the submission has changed since", "tree_sha256"),
            ("it is of another assignment", "assignment"),
            (f"its functions run in the sandbox {kept.sandbox.value}", "sandbox"),
            ("it was begun on another machine", "machine"),
        )
        if getattr(kept, field) != getattr(asked, field)
    ]
    if differing:
        raise UsageError(
            f"{folder} holds an experiment that this one cannot go on with: {', '.join(differing)}",
            hint="begin a new one with another --out",
        )


def with_missing(runs: Sequence[MeasuredRun], wanted: Sequence[tuple[int, Setting]]) -> tuple[MeasuredRun, ...]:
    """The runs that ended, then those that are wanted and have not been run, numbered on."""
    ended = [one for one in runs if one.status != "planned"]
    have = {(one.repeat, tuple(one.setting.items())) for one in ended}
    missing = [(repeat, setting) for repeat, setting in wanted if (repeat, tuple(setting.items())) not in have]
    first = max((one.number for one in ended), default=0) + 1
    return (
        *ended,
        *(
            MeasuredRun(number=number, repeat=repeat, setting=setting, folder=folder_of(number, setting))
            for number, (repeat, setting) in enumerate(missing, start=first)
        ),
    )
