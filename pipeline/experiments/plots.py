"""The plots of an experiment as files for a lab report: SVG and PNG, on white, with title, units and legend inside.

Same experiment, same bytes. matplotlib takes more than a second to import: only `draw` does it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from pipeline.experiments import drawing
from pipeline.experiments.grid import label_of, words_of
from pipeline.experiments.record import Experiment
from pipeline.reporting.palette import BASELINE, INK, MUTED, SETTINGS
from pipeline.reporting.plots import NO_METADATA, without_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, ROW = 5.6, 3.5, 0.3
DOTS_AN_INCH = 200
PAPER = "#ffffff"
SPREAD = "Medians joined; bars from the least to the most of the runs, each of which is a dot."
Drawing: TypeAlias = "Callable[[Axes, Experiment], None]"


@dataclass(frozen=True)
class Plotted:
    """One plot: when there is one, its title and what is said below it, how it is drawn, whether all of it is shown."""

    name: str
    title: str
    caption: str
    has: Callable[[Experiment], bool]
    draw: Drawing
    height: Callable[[Experiment], float] = lambda _: HEIGHT
    shown: Callable[[Experiment], str] = drawing.shown_series


@dataclass(frozen=True)
class Plot:
    """`name` is the files' stem. Width and height in pixels of a page."""

    name: str
    title: str
    caption: str
    description: str
    width: int
    height: int
    svg: bytes
    png: bytes


def line(name: str, title: str, figure: str, unit: str, caption: str = SPREAD) -> Plotted:
    def draw(axes: Axes, experiment: Experiment) -> None:
        drawing.draw_line(axes, experiment, figure)
        axes.set_ylabel(unit)

    return Plotted(name, title, caption, partial(has, figure), draw)


def has(figure: str, experiment: Experiment) -> bool:
    return any(figure in one.figures for one in experiment.points)


def several(experiment: Experiment) -> bool:
    """Whether there is a speed-up to speak of: one series has two points with a time."""
    every = drawing.series_of(experiment)
    return any(sum(point.speed_up is not None for point in one.points) > 1 for one in every)


def draw_memory(axes: Axes, experiment: Experiment) -> None:
    drawing.draw_line(axes, experiment, "peak_memory_mb")
    drawing.draw_limits(axes, experiment)
    drawing.from_zero(axes)
    axes.set_ylabel("MB")


def draw_host(axes: Axes, experiment: Experiment) -> None:
    drawing.draw_line(axes, experiment, "host_cpu_percent")
    axes.set_ylim(0, 105)
    processors = experiment.machine.processors
    axes.set_ylabel(f"% of {f'all {processors} processors' if processors > 1 else 'the processor'}")


def height_of_bars(experiment: Experiment) -> float:
    return 1.25 + ROW * max(2, len(drawing.bars_of(experiment)))


PLOTS = (
    line("time", "Completion time", "seconds", "seconds"),
    Plotted(
        "speed-up",
        "Speed-up",
        "The median time of the least value on the axis, divided by each run's own; bars from the least to the most.",
        several,
        drawing.draw_speed_up,
    ),
    Plotted(
        "split",
        "Execution and communication",
        "Medians, added up over all functions; the number beside a bar is the share of communication.",
        partial(has, "execution_s"),
        drawing.draw_split,
        height_of_bars,
        drawing.shown_bars,
    ),
    Plotted(
        "memory",
        "Peak memory of the largest function",
        f"{SPREAD} Measured from outside.",
        partial(has, "peak_memory_mb"),
        draw_memory,
    ),
    line("cpu", "CPU time of all functions together", "cpu_s", "CPU seconds"),
    line("cpu-percent", "Use of a processor by a function while it ran", "cpu_percent", "% of one processor"),
    Plotted(
        "machine",
        "Use of the whole machine while the job ran",
        f"{SPREAD} All programs of the machine count, the pipeline's own servers too.",
        partial(has, "host_cpu_percent"),
        draw_host,
    ),
    line("cost", "Cost", "gb_seconds", "GB-seconds"),
    Plotted(
        "cost-and-time",
        "Cost against completion time",
        "Medians, with bars from the least to the most; further to the left is faster, further below is cheaper.",
        lambda experiment: has("gb_seconds", experiment) and len(experiment.points) > 1,
        drawing.draw_trade,
    ),
)


def draw(experiment: Experiment) -> list[Plot]:
    """Every plot for which there are figures."""
    wanted = [one for one in PLOTS if experiment.axis and one.has(experiment)]
    if not wanted:
        return []
    import matplotlib as mpl

    with mpl.rc_context({**SETTINGS, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlecolor": INK}):
        return [drawn(one, experiment) for one in wanted]


def drawn(plotted: Plotted, experiment: Experiment) -> Plot:
    height = plotted.height(experiment)
    figure, axes = sheet(height)
    plotted.draw(axes, experiment)
    axes.set_title(plotted.title, loc="left", pad=22)
    part = plotted.shown(experiment)
    below = ", ".join(filter(None, [below_title(experiment), part]))
    axes.annotate(below, (0, 1), (0, 9), "axes fraction", "offset points", color=MUTED, fontsize=8.5)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16 * HEIGHT / height), ncols=3)
    return Plot(
        name=plotted.name,
        title=plotted.title,
        caption=f"{plotted.caption} Only {part}; the table below has all." if part else plotted.caption,
        description="; ".join(described(plotted, experiment)),
        width=round(WIDTH * 96),
        height=round(height * 96),
        svg=without_styles(saved(figure, "svg", NO_METADATA)),
        png=saved(figure, "png", {"Software": None}),
    )


def below_title(experiment: Experiment) -> str:
    """What is alike in all of its points: the assignment, and settings that were not varied."""
    fixed = words_of(experiment.fixed) if experiment.fixed else ""
    return ", ".join(filter(None, [experiment.assignment, fixed]))


def sheet(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot(facecolor=PAPER)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(BASELINE)
    return figure, axes


def saved(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=form, dpi=DOTS_AN_INCH, metadata=metadata)
    return content.getvalue()


FIGURE_OF = {
    "time": "seconds",
    "memory": "peak_memory_mb",
    "cpu": "cpu_s",
    "cpu-percent": "cpu_percent",
    "machine": "host_cpu_percent",
    "cost": "gb_seconds",
    "cost-and-time": "gb_seconds",
    "split": "communication_percent",
}


def described(plotted: Plotted, experiment: Experiment) -> Iterator[str]:
    """For who cannot see it: every median."""
    yield f"{plotted.title} against {label_of(experiment.axis)}"
    for point in experiment.points:
        found = point.speed_up if plotted.name == "speed-up" else point.figures.get(FIGURE_OF[plotted.name])
        if found is not None:
            yield f"{words_of(point.setting, experiment.varied or None)}: {found.median:.3g}"


def files(plots: list[Plot]) -> dict[str, bytes]:
    """File name -> content."""
    return {f"{one.name}.svg": one.svg for one in plots} | {f"{one.name}.png": one.png for one in plots}
