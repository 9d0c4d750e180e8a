"""Curves of the report: loss over time, accuracy over updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.figures import Figures
from pipeline.reporting.palette import COMMUNICATION, COMPUTE, GOAL, SOFT
from pipeline.settings import Assignment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 300
FEW_POINTS = 20
MOST_LOSS = 1e6
MOST = 1e9


def drawable(value: float | None, least: float = 0.0, most: float = MOST) -> float:
    """`value` within what axes can show: a worker may report anything."""
    return min(max(value or 0.0, least), most)


def is_timed(figures: Figures) -> bool:
    return all(one.seconds is not None for one in figures.loss if one.loss is not None)


def loss_points(figures: Figures) -> list[tuple[float, float]]:
    """(seconds, or the version where there is no clock; loss), thinned to means of neighbours."""
    timed = is_timed(figures)
    points = [
        (
            one.seconds if timed and one.seconds is not None else float(one.version),
            drawable(one.loss, -MOST_LOSS, MOST_LOSS),
        )
        for one in figures.loss
        if one.loss is not None
    ]
    size = -(-len(points) // MOST_POINTS) or 1
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def smoothed(values: Sequence[float], weight: float = 0.8) -> list[float]:
    """Exponential moving average, corrected for its start (Adam's correction)."""
    average, result = 0.0, []
    for at, value in enumerate(values, start=1):
        average = weight * average + (1 - weight) * value
        result.append(average / (1 - weight**at))
    return result


def draw_loss(axes: Axes, figures: Figures, _: Assignment | None) -> None:
    points = loss_points(figures)
    times, losses = [one[0] for one in points], [one[1] for one in points]
    few = len(points) < FEW_POINTS
    axes.plot(times, losses, color=COMPUTE if few else SOFT, linewidth=1.8 if few else 1.0)
    if not few:
        axes.plot(times, smoothed(losses), color=COMPUTE)
    axes.set_xlabel("seconds of training" if is_timed(figures) else "update")
    axes.set_ylabel("training loss")
    axes.set_ylim(bottom=min(0.0, *losses))
    axes.grid(axis="y")


def scores(figures: Figures) -> list[tuple[int, float]]:
    return sorted((one.version, one.accuracy) for one in figures.validation if one.accuracy is not None)


def draw_accuracy(axes: Axes, figures: Figures, assignment: Assignment | None) -> None:
    points = scores(figures)
    if points:
        axes.plot(*zip(*points, strict=True), color=COMPUTE, marker="o", markersize=4.5, label="validation rows")
        label_scores(axes, points)
    last = max((version for version, _ in points), default=figures.updates or 1)
    hidden = [(0, figures.accuracy_initial), (figures.updates or last, figures.accuracy)]
    known = [(version, accuracy) for version, accuracy in hidden if accuracy is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=COMMUNICATION, marker="D", linestyle="", label="hidden test rows")
    goal = accuracy_goal(assignment)
    if goal is not None:
        axes.axhline(goal, color=GOAL, linestyle=(0, (4, 3)), linewidth=1.2, label=f"asked: {goal:g}")
    axes.set_ylim(0, 1.04)
    axes.set_xlabel("update")
    axes.set_ylabel("accuracy")
    axes.grid(axis="y")
    axes.legend(loc="lower right")


def label_scores(axes: Axes, points: Sequence[tuple[int, float]]) -> None:
    """Writes each accuracy below its point, where the curve, which rises to the right, leaves room."""
    most = points[:: -(-len(points) // 6)]
    for version, accuracy in most:
        last = version == points[-1][0]
        away = (2, -12) if last else (5, -4) if accuracy < 0.5 else (1, -12)
        side = "right" if last else "left"
        axes.annotate(f"{accuracy:.3f}", (version, accuracy), away, textcoords="offset points", ha=side, fontsize=8)


def accuracy_goal(assignment: Assignment | None) -> float | None:
    checks = assignment.graded if assignment else ()
    return next((one.at_least for one in checks if one.measure == "accuracy"), None)


def describe_loss(figures: Figures) -> str:
    points = loss_points(figures)
    return f"Training loss from {points[0][1]:.3g} to {points[-1][1]:.3g}."


def describe_accuracy(figures: Figures) -> str:
    values = [f"{accuracy:.4f} at update {version}" for version, accuracy in scores(figures)]
    return "Accuracy on the validation rows: " + (", ".join(values) or "none") + "."
