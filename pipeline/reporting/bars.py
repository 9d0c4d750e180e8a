"""Rows of bars in the report: what each worker did with its time, its CPU and memory; activations on the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.figures import Figures, Interval, WorkerFigures
from pipeline.reporting.curves import drawable
from pipeline.reporting.palette import COMMUNICATION, COMPUTE, INK, LIMIT, WAITING
from pipeline.settings import Assignment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 48
SPLIT = (
    ("compute_s", "compute", COMPUTE),
    ("communication_s", "communication", COMMUNICATION),
    ("wait_s", "waiting", WAITING),
)


def rows_of_workers(axes: Axes, workers: Sequence[WorkerFigures]) -> list[int]:
    """Puts one row a worker on the axes, the first on top; their positions."""
    rows = list(range(len(workers)))
    axes.set_yticks(rows, [one.label for one in workers])
    axes.set_ylim(max(1.5, len(workers) - 0.5), -0.5)
    axes.grid(axis="x")
    return rows


def legend_above(axes: Axes) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def draw_split(axes: Axes, figures: Figures, _: Assignment | None) -> None:
    workers = figures.workers[:MOST_ROWS]
    rows = rows_of_workers(axes, workers)
    left = [0.0] * len(workers)
    for field, label, colour in SPLIT:
        widths = [drawable(getattr(one, field)) for one in workers]
        axes.barh(rows, widths, left=left, height=0.6, color=colour, label=label)
        left = [begun + width for begun, width in zip(left, widths, strict=True)]
    axes.set_xlabel("seconds")
    legend_above(axes)


def draw_bars(axes: Axes, workers: Sequence[WorkerFigures], field: str, unit: str) -> None:
    rows = rows_of_workers(axes, workers)
    values = [getattr(one, field) for one in workers]
    bars = axes.barh(rows, [drawable(value) for value in values], height=0.6, color=COMPUTE)
    labels = ["not known" if value is None else f"{value:.{0 if value >= 10 else 2}f} {unit}" for value in values]
    axes.bar_label(bars, labels, padding=4, color=INK)
    axes.margins(x=0.16)


def draw_cpu(axes: Axes, figures: Figures, _: Assignment | None) -> None:
    draw_bars(axes, figures.workers[:MOST_ROWS], "cpu_s", "s")
    axes.set_xlabel("CPU seconds")


def draw_memory(axes: Axes, figures: Figures, assignment: Assignment | None) -> None:
    draw_bars(axes, figures.workers[:MOST_ROWS], "peak_memory_mb", "MB")
    axes.set_xlabel("peak memory, MB")
    if assignment is not None:
        limit = assignment.limits.memory_mb
        axes.axvline(limit, color=LIMIT, linestyle=(0, (4, 3)), linewidth=1.2, label=f"limit: {limit} MB")
        legend_above(axes)


def timeline_rows(figures: Figures) -> list[tuple[str, list[Interval]]]:
    """One row a worker, or a function, in the order of the figures; what else ran comes after them as it began."""
    ordered = sorted(figures.intervals, key=lambda one: (one.start, one.activation))
    rows: dict[str, list[Interval]] = {one.label: [] for one in figures.workers}
    for one in ordered:
        rows.setdefault(one.row, []).append(one)
    filled = [(label, intervals) for label, intervals in rows.items() if intervals]
    return filled if len(filled) <= MOST_ROWS else [*filled[: MOST_ROWS - 1], filled[-1]]


def draw_timeline(axes: Axes, figures: Figures, _: Assignment | None) -> None:
    rows = timeline_rows(figures)
    begin = min(asked_at(one) for __, intervals in rows for one in intervals)
    for row, (__, intervals) in enumerate(rows):
        for phase, (colour, spans) in phases(intervals, begin).items():
            axes.broken_barh(spans, (row - 0.3, 0.6), facecolors=colour, label=phase if row == 0 else None)
    axes.set_yticks(range(len(rows)), [label for label, __ in rows])
    axes.set_ylim(max(1.5, len(rows) - 0.5), -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds since the first invocation")
    axes.grid(axis="x")
    legend_above(axes)


def asked_at(one: Interval) -> float:
    return one.start - (one.init_s or 0.0) - (one.wait_s or 0.0)


def phases(intervals: Sequence[Interval], begin: float) -> dict[str, tuple[str, list[tuple[float, float]]]]:
    """Phase -> its colour and its spans (start, width)."""
    queued = [(asked_at(one) - begin, one.wait_s) for one in intervals if one.wait_s]
    started = [(one.start - one.init_s - begin, one.init_s) for one in intervals if one.init_s]
    ran = [(one.start - begin, max(0.0, one.end - one.start)) for one in intervals]
    return {"in the queue": (WAITING, queued), "cold start": (COMMUNICATION, started), "running": (COMPUTE, ran)}


def describe_split(figures: Figures) -> str:
    def of(one: WorkerFigures) -> str:
        parts = [f"{label} {drawable(getattr(one, field)):.1f} s" for field, label, _ in SPLIT]
        return f"{one.label}: " + ", ".join(parts)

    return "; ".join(of(one) for one in figures.workers[:MOST_ROWS]) + "."


def describe_bars(field: str, unit: str) -> Callable[[Figures], str]:
    def describe(figures: Figures) -> str:
        workers = figures.workers[:MOST_ROWS]
        return ", ".join(f"{one.label}: {drawable(getattr(one, field)):.0f} {unit}" for one in workers) + "."

    return describe


def describe_timeline(figures: Figures) -> str:
    return ", ".join(f"{label}: {len(intervals)} activations" for label, intervals in timeline_rows(figures)) + "."


def any_worker(*fields: str) -> Callable[[Figures], bool]:
    return lambda figures: any(getattr(one, field) is not None for one in figures.workers for field in fields)


def count_of_workers(figures: Figures) -> int:
    return min(len(figures.workers), MOST_ROWS)
