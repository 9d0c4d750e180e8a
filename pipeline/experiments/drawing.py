"""The drawings of an experiment, on axes that are given: lines with their spread, bars, and cost against time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.experiments.grid import Value, label_of, words_of, written
from pipeline.experiments.record import Experiment, Point, Spread
from pipeline.experiments.statistics import compared_runs, number, rest
from pipeline.reporting.palette import COMMUNICATION, COMPUTE, GOAL, INK, LIMIT, MUTED, SOFT, WAITING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (COMPUTE, COMMUNICATION, GOAL, LIMIT, MUTED, SOFT)
MARKERS = ("o", "s", "^", "D", "v", "P")
MOST_SERIES = len(COLOURS)
MOST_BARS = 24
MOST_NAMED = 12
DOUBLINGS = 8
"""An axis that spans more than this many times its least value is logarithmic."""
PARTS = (
    ("execution_s", "execution", COMPUTE),
    ("communication_s", "communication", COMMUNICATION),
    ("waiting_s", "waiting", WAITING),
)


@dataclass(frozen=True)
class Series:
    """Points along the axis with all else equal."""

    label: str
    points: tuple[Point, ...]


def series_of(experiment: Experiment) -> list[Series]:
    """One for each combination of the other keys, in their order."""
    axis = experiment.axis
    groups: dict[tuple[tuple[str, Value], ...], list[Point]] = {}
    for point in experiment.points:
        groups.setdefault(tuple(rest(point.setting, axis).items()), []).append(point)
    others = [key for key in experiment.varied if key != axis]
    return [Series(words_of(dict(key), others) if others else "", tuple(found)) for key, found in groups.items()]


def shown_series(experiment: Experiment) -> str:
    """What is said where there are more than can be told apart; nothing where all are drawn."""
    return some_of(len(series_of(experiment)), MOST_SERIES, "series")


def some_of(number: int, most: int, what: str) -> str:
    return f"{most} of {number} {what} shown" if number > most else ""


def numeric(values: Sequence[Value]) -> bool:
    return bool(values) and not any(isinstance(one, str | bool) for one in values)


def place(experiment: Experiment, value: Value) -> float:
    """Where a value of the axis lies: numbers at themselves, words one after another."""
    values = experiment.values(experiment.axis)
    return number(value) if numeric(values) else float(values.index(value))


def prepare_axis(axes: Axes, experiment: Experiment) -> None:
    values = experiment.values(experiment.axis) if experiment.axis else ()
    if numeric(values) and number(values[0]) > 0 and number(values[-1]) > DOUBLINGS * number(values[0]):
        axes.set_xscale("log", base=2)
    axes.set_xticks([place(experiment, one) for one in values], [written(one) for one in values], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label_of(experiment.axis))
    axes.margins(x=0.08)
    axes.grid(axis="y")


def from_zero(axes: Axes, room: float = 1.1) -> None:
    """The vertical axis from 0 to a little above all that is drawn, so that no small change looks large."""
    axes.set_ylim(0, max(axes.dataLim.y1, 1e-9) * room)


def draw_line(axes: Axes, experiment: Experiment, figure: str) -> None:
    """Medians joined by a line, least and most as a bar through each, every run as a small dot."""
    for at, one in enumerate(series_of(experiment)[:MOST_SERIES]):
        known = [(place(experiment, point.setting[experiment.axis]), point) for point in one.points]
        known = [(x, point) for x, point in known if figure in point.figures]
        draw_spreads(axes, at, one.label, [(x, point.figures[figure]) for x, point in known])
        dots = [(x, value) for x, point in known for value in values_of(experiment, point, figure)]
        axes.plot(*zip(*dots, strict=True), color=COLOURS[at], marker=".", markersize=3, linestyle="") if dots else None
    prepare_axis(axes, experiment)
    from_zero(axes)


def values_of(experiment: Experiment, point: Point, figure: str) -> list[float]:
    """Of the runs that are compared, which alone are in the point's spread."""
    found = [getattr(one.figures, figure) for one in compared_runs(point.setting, experiment.runs)]
    return [one for one in found if one is not None]


def draw_spreads(axes: Axes, at: int, label: str, spreads: Sequence[tuple[float, Spread]]) -> None:
    if not spreads:
        return
    places, found = [x for x, _ in spreads], [one for _, one in spreads]
    medians = [one.median for one in found]
    away = [[one.median - one.least for one in found], [one.most - one.median for one in found]]
    axes.errorbar(
        places,
        medians,
        yerr=away,
        color=COLOURS[at],
        marker=MARKERS[at],
        markersize=5.5,
        capsize=3.5,
        elinewidth=1.1,
        label=label or None,
    )


def draw_speed_up(axes: Axes, experiment: Experiment) -> None:
    every = series_of(experiment)[:MOST_SERIES]
    for at, one in enumerate(every):
        known = [(place(experiment, point.setting[experiment.axis]), point.speed_up) for point in one.points]
        draw_spreads(axes, at, one.label, [(x, speed_up) for x, speed_up in known if speed_up is not None])
    if experiment.axis in experiment.parallel:
        draw_ideal(axes, experiment)
    prepare_axis(axes, experiment)
    from_zero(axes)
    axes.set_ylabel("speed-up")


def draw_ideal(axes: Axes, experiment: Experiment) -> None:
    values = [number(one) for one in experiment.values(experiment.axis)]
    ideal = [one / values[0] for one in values]
    axes.plot(values, ideal, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.1, label="ideal")


def draw_limits(axes: Axes, experiment: Experiment) -> None:
    """The memory limits, where they are near enough to be seen beside what was used."""
    peaks = [point.figures["peak_memory_mb"].most for point in experiment.points if "peak_memory_mb" in point.figures]
    for limit in limits(experiment):
        if limit <= 3 * max(peaks):
            axes.axhline(limit, color=LIMIT, linestyle=(0, (4, 3)), linewidth=1.1, label=f"limit {limit} MB")


def limits(experiment: Experiment) -> list[int]:
    found = {one.figures.memory_limit_mb for one in experiment.runs if one.figures.memory_limit_mb is not None}
    return sorted(found)


def bars_of(experiment: Experiment) -> list[Point]:
    return split_points(experiment)[:MOST_BARS]


def split_points(experiment: Experiment) -> list[Point]:
    return [one for one in experiment.points if "execution_s" in one.figures]


def shown_bars(experiment: Experiment) -> str:
    return some_of(len(split_points(experiment)), MOST_BARS, "settings")


def draw_split(axes: Axes, experiment: Experiment) -> None:
    """One bar a setting: the medians of the parts of its functions' time."""
    points = bars_of(experiment)
    rows, left = list(range(len(points))), [0.0] * len(points)
    for figure, label, colour in PARTS:
        if not any(figure in one.figures for one in points):
            continue
        widths = [one.figures[figure].median if figure in one.figures else 0.0 for one in points]
        axes.barh(rows, widths, left=left, height=0.62, color=colour, label=label)
        left = [begun + width for begun, width in zip(left, widths, strict=True)]
    for row, (point, end) in enumerate(zip(points, left, strict=True)):
        share = point.figures.get("communication_percent")
        text = f" {share.median:.0f} %" if share else ""
        axes.text(end, row, text, va="center", ha="left", color=INK, fontsize=8)
    axes.set_yticks(rows, [words_of(one.setting, experiment.varied or None) for one in points])
    axes.set_ylim(max(1.5, len(points) - 0.5), -0.5)
    axes.margins(x=0.12)
    axes.set_xlabel("seconds of all functions together")
    axes.grid(axis="x")


def draw_trade(axes: Axes, experiment: Experiment) -> None:
    """Cost against time, both as medians with least and most: what lies to the left and below is better."""
    for at, one in enumerate(series_of(experiment)[:MOST_SERIES]):
        for first, point in enumerate(
            point for point in one.points if {"seconds", "gb_seconds"} <= point.figures.keys()
        ):
            time, cost = point.figures["seconds"], point.figures["gb_seconds"]
            axes.errorbar(
                time.median,
                cost.median,
                xerr=[[time.median - time.least], [time.most - time.median]],
                yerr=[[cost.median - cost.least], [cost.most - cost.median]],
                color=COLOURS[at],
                marker=MARKERS[at],
                markersize=5.5,
                capsize=2.5,
                elinewidth=0.9,
                linestyle="",
                label=one.label if one.label and not first else None,
            )
            name_point(axes, experiment, point)
    axes.set_xlabel("completion time, s")
    axes.set_ylabel("GB-seconds")
    axes.set_xlim(0, max(axes.dataLim.x1, 1e-9) * 1.1)
    from_zero(axes)
    axes.grid()


def name_point(axes: Axes, experiment: Experiment, point: Point) -> None:
    few = len(experiment.points) <= MOST_NAMED and len(series_of(experiment)) == 1
    named = few or point.setting in (experiment.fastest, experiment.cheapest)
    if not named:
        return
    text = words_of(point.setting, [experiment.axis])
    where = (point.figures["seconds"].median, point.figures["gb_seconds"].median)
    axes.annotate(text, where, (6, 5), textcoords="offset points", fontsize=8, color=INK)
