"""What the runs of an experiment come to: spreads of every figure, speed-up, efficiency, the cheapest setting."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

from pipeline.errors import Outcome
from pipeline.experiments.grid import MEMORY, Setting, Value
from pipeline.experiments.record import Experiment, MeasuredRun, Point, RunFigures, Spread

FIGURES = tuple(
    name for name in RunFigures.model_fields if name not in {"split_source", "measures", "functions", "memory_limit_mb"}
)


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value; quartiles by the inclusive method, so that they lie within what was measured."""
    lower, _, upper = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return Spread(
        runs=len(values),
        median=round(median(values), 6),
        least=round(min(values), 6),
        most=round(max(values), 6),
        lower_quartile=round(lower, 6),
        upper_quartile=round(upper, 6),
    )


def with_summary(experiment: Experiment) -> Experiment:
    """The experiment with its points, its axis, the fastest and the cheapest setting, as far as it has come."""
    axis = axis_of(experiment)
    points = tuple(point_of(setting, experiment.runs) for setting in settings_of(experiment))
    points = tuple(compared_with_base(one, points, axis, axis in experiment.parallel) for one in points)
    return experiment.model_copy(
        update={
            "axis": axis,
            "points": points,
            "fastest": least(points, "seconds"),
            "cheapest": least(points, "gb_seconds"),
        }
    )


def settings_of(experiment: Experiment) -> list[Setting]:
    """Each setting once, ordered by the values of its keys."""
    places = {key: {value: at for at, value in enumerate(experiment.values(key))} for key in experiment.keys}
    unique = {tuple(one.setting.items()): one.setting for one in experiment.runs}
    return sorted(unique.values(), key=lambda setting: [places[key][value] for key, value in setting.items()])


def axis_of(experiment: Experiment) -> str:
    """What plots have on their axis: a key that changes how many functions run, else numbers, else what is there."""
    varied = experiment.varied
    numeric = [key for key in varied if not any(isinstance(one, str | bool) for one in experiment.values(key))]
    wanted = [
        *(key for key in numeric if key in experiment.parallel),
        *(key for key in numeric if key != MEMORY),
        *numeric,
        *varied,
        *experiment.keys,
    ]
    return wanted[0] if wanted else ""


def any_passed(runs: Sequence[MeasuredRun]) -> bool:
    return any(one.outcome is Outcome.PASSED for one in runs)


def compared_runs(setting: Setting, runs: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    """Those of a setting that count: where any run of the experiment passed, only those that did."""
    measured = [one for one in runs if one.setting == setting and one.status == "measured"]
    return [one for one in measured if one.outcome is Outcome.PASSED] if any_passed(runs) else measured


def point_of(setting: Setting, runs: Sequence[MeasuredRun]) -> Point:
    own = [one for one in runs if one.setting == setting]
    measured = [one for one in own if one.status == "measured"]
    passed = [one for one in measured if one.outcome is Outcome.PASSED]
    compared = compared_runs(setting, runs)
    known = {name: [getattr(one.figures, name) for one in compared] for name in FIGURES}
    values = {name: [one for one in found if one is not None] for name, found in known.items()}
    return Point(
        setting=setting,
        planned=len(own),
        measured=len(measured),
        passed=len(passed),
        compared=len(compared),
        failed_for=tuple(one.failed_for for one in own if one.status == "failed"),
        figures={name: spread(found) for name, found in values.items() if found},
    )


def compared_with_base(point: Point, points: Sequence[Point], axis: str, parallel: bool) -> Point:
    """The point with its speed-up: the base's median time, divided by the time of each of its own runs.

    Efficiency, where the axis is how many functions run at once: speed-up by how many times more there are.
    """
    base = base_of(point, points, axis)
    if base is None or "seconds" not in point.figures:
        return point
    whole, own = base.figures["seconds"].median, point.figures["seconds"]
    if min(own.least, whole) <= 0:
        return point
    speed_up = Spread(
        runs=own.runs,
        median=round(whole / own.median, 6),
        least=round(whole / own.most, 6),
        most=round(whole / own.least, 6),
        lower_quartile=round(whole / own.upper_quartile, 6),
        upper_quartile=round(whole / own.lower_quartile, 6),
    )
    more = number(point.setting[axis]) / number(base.setting[axis]) if parallel else None
    return point.model_copy(
        update={"speed_up": speed_up, "efficiency": round(speed_up.median / more, 6) if more else None}
    )


def number(value: Value) -> float:
    return float(value) if not isinstance(value, str) else 0.0


def base_of(point: Point, points: Sequence[Point], axis: str) -> Point | None:
    """The first point along the axis with all else equal that has a time."""
    if axis not in point.setting:
        return None
    alike = (one for one in points if rest(one.setting, axis) == rest(point.setting, axis))
    return next((one for one in alike if "seconds" in one.figures), None)


def rest(setting: Setting, axis: str) -> Setting:
    return {key: value for key, value in setting.items() if key != axis}


def least(points: Sequence[Point], figure: str) -> Setting | None:
    """The setting whose median of that figure is the least; None where nobody has one."""
    known = [one for one in points if figure in one.figures]
    return min(known, key=lambda one: one.figures[figure].median).setting if known else None


def overlapping(experiment: Experiment, figure: str, best: Setting) -> list[Point]:
    """Points whose spread of a figure reaches into that of the best: with these runs they cannot be told apart."""
    own = next(one for one in experiment.points if one.setting == best).figures[figure]
    others = [one for one in experiment.points if one.setting != best and figure in one.figures]
    return [one for one in others if one.figures[figure].least <= own.most]
