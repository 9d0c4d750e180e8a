"""A picture of the answer: which worker computed which block, and which of them are wrong.

Colours stand on light and dark pages; numbers say the same as they, as long as there is room for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from pipeline.matrices.blocks import Task
from pipeline.matrices.judging import Judged

WIDTH, HEIGHT = 432, 240
"""Pixels, as wide as a plot."""
COLOURS = ("#4c86c6", "#e08a2c", "#58a06d", "#b06ab3", "#c65a52", "#8a7a5c", "#4fa6a6", "#8b93a1")
INK, CROSS = "#ffffff", "#1c1f26"
LEAST_FOR_NUMBER = 15.0
GAP = 0.06


def drawn(judged: Sequence[Judged], shares: Sequence[Sequence[Task]]) -> bytes:
    """An SVG without styles or scripts: its colours are attributes."""
    worker = {task.name: number for number, share in enumerate(shares) for task in share}
    rows = 1 + max(one.task.row for one in judged)
    columns = 1 + max(one.task.column for one in judged)
    side = min(WIDTH / columns, HEIGHT / rows)
    root = ElementTree.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", width=str(WIDTH), height=str(HEIGHT)
    )
    for one in judged:
        cell(root, one, worker[one.task.name], (one.task.column * side, one.task.row * side), side)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def cell(root: ElementTree.Element, judged: Judged, worker: int, corner: tuple[float, float], side: float) -> None:
    left, top = corner
    gap, inner = GAP * side, (1 - 2 * GAP) * side
    square = {"x": left + gap, "y": top + gap, "width": inner, "height": inner}
    add(root, "rect", **square, fill=COLOURS[worker % len(COLOURS)])
    if side >= LEAST_FOR_NUMBER:
        size = min(13.0, side * 0.55)
        place = {"x": left + side / 2, "y": top + side / 2 + 0.35 * size, "font-size": size}
        text = {"font-family": "DejaVu Sans, Helvetica, Arial, sans-serif", "text-anchor": "middle", "fill": INK}
        add(root, "text", **place, **text).text = str(worker + 1)
    if not judged.right:
        ends = (left + gap, top + gap, left + side - gap, top + side - gap)
        stroke: dict[str, float | str] = {"stroke": CROSS, "stroke-width": max(0.6, side * 0.07)}
        add(root, "line", x1=ends[0], y1=ends[1], x2=ends[2], y2=ends[3], **stroke)
        add(root, "line", x1=ends[0], y1=ends[3], x2=ends[2], y2=ends[1], **stroke)


def add(root: ElementTree.Element, tag: str, **attributes: float | str) -> ElementTree.Element:
    texts = {name: one if isinstance(one, str) else f"{one:.2f}" for name, one in attributes.items()}
    return ElementTree.SubElement(root, tag, texts)
