"""Tables of an experiment: those of the page, and `experiment.csv` with a row for each run."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.experiments.grid import label_of, written
from pipeline.experiments.record import Experiment, MeasuredRun, Point, RunFigures, Spread
from pipeline.reporting.text import shown
from pipeline.reporting.words import count, megabytes, seconds, size

Formatter = Callable[[float | None], str]
ABSENT = "–"


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


def percent(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.0f} %"


def cost(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3g}"


def times(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def ranged(spread: Spread | None, form: Formatter) -> str:
    """`12.3 (11.9–12.8) s`; the median alone where all runs say the same."""
    if spread is None:
        return ABSENT
    middle, least, most = form(spread.median), form(spread.least), form(spread.most)
    if least == most == middle:
        return middle
    parts = [one.rpartition(" ") for one in (middle, least, most)]
    if len({unit for _, space, unit in parts if space}) == 1 and all(space for _, space, _ in parts):
        return f"{parts[0][0]} ({parts[1][0]}–{parts[2][0]}) {parts[0][2]}"
    return f"{middle} ({least} – {most})"


def tables(experiment: Experiment) -> list[Table]:
    keys = experiment.varied or experiment.keys[:1]
    made = [
        completion(experiment, keys),
        of_figures(
            experiment,
            keys,
            "Execution and communication",
            (
                ("all functions", "functions_s", seconds),
                ("execution", "execution_s", seconds),
                ("communication", "communication_s", seconds),
                ("waiting", "waiting_s", seconds),
                ("share of communication", "communication_percent", percent),
                ("requests to the store", "requests", count),
                ("sent", "bytes_sent", size),
                ("received", "bytes_received", size),
            ),
        ),
        of_figures(
            experiment,
            keys,
            "Memory, processors and disk",
            (
                ("largest function", "peak_memory_mb", megabytes),
                ("median function", "usual_memory_mb", megabytes),
                ("CPU time, all", "cpu_s", seconds),
                ("of a processor", "cpu_percent", percent),
                ("machine", "host_cpu_percent", percent),
                ("read", "block_read", size),
                ("written", "block_written", size),
                ("processes", "processes", count),
            ),
        ),
        of_figures(
            experiment,
            keys,
            "Cost",
            (
                ("GB-seconds", "gb_seconds", cost),
                ("running", "functions_s", seconds),
                ("cold starts", "cold_start_s", seconds),
                ("in the queue", "queued_s", seconds),
            ),
        ),
    ]
    return [one for one in made if len(one.columns) > len(keys)]


def heads(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(label_of(key) for key in keys)


def cells(point: Point, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(written(point.setting[key]) for key in keys)


def completion(experiment: Experiment, keys: tuple[str, ...]) -> Table:
    return Table(
        "Completion time",
        (*heads(keys), "time", "quartiles", "speed-up", "efficiency", "runs", "checks"),
        tuple(
            (
                *cells(one, keys),
                ranged(one.figures.get("seconds"), seconds),
                quartiles(one.figures.get("seconds")),
                ranged(one.speed_up, times),
                percent(None if one.efficiency is None else 100 * one.efficiency),
                f"{one.compared} of {one.planned}",
                how_it_went(one),
            )
            for one in experiment.points
        ),
        "Medians, with the least and the most of the runs that are compared.",
    )


def quartiles(spread: Spread | None) -> str:
    if spread is None or spread.runs == 1:
        return ABSENT
    return f"{seconds(spread.lower_quartile)} – {seconds(spread.upper_quartile)}"


def how_it_went(point: Point) -> str:
    """`passed`, or what became of runs: `2 failed: memory`."""
    causes = dict.fromkeys(point.failed_for)
    parts = [f"{point.failed_for.count(cause)} failed: {cause}" for cause in causes]
    missed = point.measured - point.passed
    parts += [f"{missed} not passed"] if missed else []
    parts += [f"{point.passed} passed" if parts else "passed"] if point.passed else []
    return ", ".join(parts) or "not run yet"


def of_figures(
    experiment: Experiment, keys: tuple[str, ...], title: str, wanted: tuple[tuple[str, str, Formatter], ...]
) -> Table:
    """One row a setting; columns that nobody has figures for are left out."""
    known = [one for one in wanted if any(one[1] in point.figures for point in experiment.points)]
    rows = tuple(
        (*cells(point, keys), *(ranged(point.figures.get(figure), form) for _, figure, form in known))
        for point in experiment.points
    )
    return Table(title, (*heads(keys), *(label for label, _, _ in known)), rows) if known else Table(title, (), ())


def status_of(run: MeasuredRun) -> str:
    if run.status == "planned":
        return "not run yet"
    return f"failed: {run.failed_for}" if run.status == "failed" else run.outcome or ""


NOT_IN_CSV = {"measures"}
SINGLE = tuple(name for name in RunFigures.model_fields if name not in NOT_IN_CSV)


def as_csv(experiment: Experiment) -> str:
    """One row a run, those that failed too; figures in the units of `experiment.json`, nothing where none is known."""
    measures = sorted({name for run in experiment.runs for name in run.figures.measures})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ("number", "repeat", *experiment.keys, "status", "outcome", "failed_for", "points", "max_points", "began")
    writer.writerow(
        (*head, "wall_s", "busy_before_percent", "busy_after_percent", *SINGLE, *measures, "reason", "folder")
    )
    for run in experiment.runs:
        row = (
            run.number,
            run.repeat,
            *(written(run.setting[key]) for key in experiment.keys),
            run.status,
            run.outcome or "",
            run.failed_for,
            run.points,
            run.max_points,
            run.began.isoformat() if run.began else "",
            run.wall_s,
            run.load.before_percent,
            run.load.after_percent,
            *(getattr(run.figures, name) for name in SINGLE),
            *(run.figures.measures.get(name) for name in measures),
            run.reason,
            f"runs/{run.folder}",
        )
        writer.writerow([safe(one) for one in row])
    return text.getvalue()


def safe(cell: object) -> object:
    """Text of a student's that a spreadsheet would take for a formula begins with an apostrophe."""
    if not isinstance(cell, str):
        return cell
    clean = shown(cell, 600)
    return f"'{clean}" if clean[:1] in set("=+-@\t") else clean
