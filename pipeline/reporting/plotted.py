"""The table of plots: for which figures there is one, what it is called, how it is drawn on given axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipeline.figures import Figures
from pipeline.reporting import bars, curves
from pipeline.settings import Assignment

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Drawing: TypeAlias = "Callable[[Axes, Figures, Assignment | None], None]"


@dataclass(frozen=True)
class Plotted:
    """`rows` is how many rows of bars a plot has, None for one of fixed height."""

    name: str
    title: str
    source: str
    caption: str
    has: Callable[[Figures], bool]
    draw: Drawing
    describe: Callable[[Figures], str]
    rows: Callable[[Figures], int | None] = lambda _: None


PLOTS = (
    Plotted(
        "loss",
        "Loss over time",
        "reported",
        "Training loss, as the workers report it; the bold line is its moving average.",
        lambda figures: any(one.loss is not None for one in figures.loss),
        curves.draw_loss,
        curves.describe_loss,
    ),
    Plotted(
        "accuracy",
        "Accuracy",
        "measured",
        "Of the initial and final parameters and of checkpoints between, by the course.",
        lambda figures: bool(curves.scores(figures)) or figures.accuracy is not None,
        curves.draw_accuracy,
        curves.describe_accuracy,
    ),
    Plotted(
        "time",
        "Where the time went",
        "reported",
        "Seconds of each worker, as it reports them.",
        bars.any_worker("compute_s", "communication_s", "wait_s"),
        bars.draw_split,
        bars.describe_split,
        bars.count_of_workers,
    ),
    Plotted(
        "timeline",
        "Activations on the clock",
        "measured",
        "From invocation to end, by OpenWhisk's records.",
        lambda figures: bool(bars.timeline_rows(figures)),
        bars.draw_timeline,
        bars.describe_timeline,
        lambda figures: len(bars.timeline_rows(figures)),
    ),
    Plotted(
        "cpu",
        "CPU time",
        "measured",
        "Of each process tree, from outside.",
        bars.any_worker("cpu_s"),
        bars.draw_cpu,
        bars.describe_bars("cpu_s", "s"),
        bars.count_of_workers,
    ),
    Plotted(
        "memory",
        "Peak memory",
        "measured",
        "Of each process tree, from outside.",
        bars.any_worker("peak_memory_mb"),
        bars.draw_memory,
        bars.describe_bars("peak_memory_mb", "MB"),
        bars.count_of_workers,
    ),
)
