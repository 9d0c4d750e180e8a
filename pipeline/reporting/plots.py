"""The report's plots, as SVG files in a light and a dark variant.

Same figures, same bytes: no date, no random id. No inline style either: Jenkins serves artifacts with
`style-src 'self'`, and some browsers hold an image to that, so styles become presentation attributes. matplotlib
takes more than a second to import: only `draw` and `preload` do it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from pipeline.figures import Figures
from pipeline.reporting.palette import BASELINE, DARK, DRAWN, INK, SETTINGS
from pipeline.reporting.plotted import PLOTS, Plotted
from pipeline.settings import Assignment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# inches; LEGEND is the room above bars, EDGE that where nothing is written
WIDTH, HEIGHT, ROW = 4.5, 2.3, 0.32
LEFT, BOTTOM, LEGEND, EDGE = 0.7, 0.42, 0.26, 0.1
SVG = "http://www.w3.org/2000/svg"
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


@dataclass(frozen=True)
class Plot:
    """`name` is the file's stem, `title` and `caption` go around it, `description` is for who cannot see it."""

    name: str
    title: str
    source: str
    caption: str
    description: str
    width: int
    height: int
    light: bytes
    dark: bytes


def preload() -> None:
    """Imports matplotlib. For a thread that has nothing else to do while workers train."""
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401


def draw(figures: Figures, assignment: Assignment | None) -> list[Plot]:
    """Every plot for which there are figures."""
    wanted = [plot for plot in PLOTS if plot.has(figures)]
    if not wanted:
        return []
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS):
        return [drawn(plot, figures, assignment) for plot in wanted]


def drawn(plot: Plotted, figures: Figures, assignment: Assignment | None) -> Plot:
    rows = plot.rows(figures)
    top = EDGE if rows is None else LEGEND
    height = HEIGHT if rows is None else BOTTOM + top + ROW * max(2, rows)
    figure, axes = sheet(height, top)
    plot.draw(axes, figures, assignment)
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata=NO_METADATA)
    light = without_styles(content.getvalue())
    return Plot(
        name=plot.name,
        title=plot.title,
        source=plot.source,
        caption=plot.caption,
        description=plot.describe(figures),
        width=round(WIDTH * 96),
        height=round(height * 96),
        light=light,
        dark=in_the_dark(light),
    )


def sheet(height: float, top: float) -> tuple[Figure, Axes]:
    """An empty sheet, its axes in a fixed frame: plots line up in columns, and no layout has to be solved."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor="none")
    frame = (LEFT / WIDTH, BOTTOM / height, 1 - (LEFT + EDGE) / WIDTH, 1 - (BOTTOM + top) / height)
    axes = figure.add_axes(frame, facecolor="none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(BASELINE)
    return figure, axes


def without_styles(svg: bytes) -> bytes:
    """The same picture without style elements and attributes, and without a reference to a DTD."""
    root = ElementTree.fromstring(svg)  # our own writer's output
    for parent in list(root.iter()):
        for style in [one for one in parent if one.tag in {f"{{{SVG}}}style", f"{{{SVG}}}metadata"}]:
            parent.remove(style)
    for element in root.iter():
        for name, value in declarations(element.attrib.pop("style", "")):
            element.set(name, value)
    root.attrib.update({"stroke-linejoin": "round", "stroke-linecap": "butt", "fill": INK})
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def declarations(style: str) -> list[tuple[str, str]]:
    pairs = [one.partition(":") for one in style.split(";") if ":" in one]
    return [pair for name, _, value in pairs for pair in longhand(name.strip(), value.strip())]


def longhand(name: str, value: str) -> list[tuple[str, str]]:
    """`font` has no presentation attribute, its parts have."""
    if name != "font":
        return [(name, value)]
    size = next(part for part in value.split() if part.endswith("px"))
    before, _, family = value.partition(size)
    weight = [("font-weight", part) for part in before.split() if part in {"bold", "600", "700"}]
    return [("font-size", size), ("font-family", family.strip()), *weight]


def in_the_dark(svg: bytes) -> bytes:
    for light, dark in zip(DRAWN, DARK, strict=True):
        svg = svg.replace(light.encode(), dark.encode())
    return svg


def files(plots: list[Plot]) -> dict[str, bytes]:
    """File name -> content."""
    light = {f"{plot.name}.svg": plot.light for plot in plots}
    return light | {f"{plot.name}-dark.svg": plot.dark for plot in plots}
