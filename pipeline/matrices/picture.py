"""A picture of the answer: which worker computed which block, and which of them are wrong.

Colours stand on light and dark pages; numbers say the same as they, as long as there is room for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from xml.etree import ElementTree

from pipeline.matrices.blocks import Task
from pipeline.matrices.judging import Judged

WIDTH, HEIGHT = 432, 240
"""Pixels at the most, as wide as a plot."""
COLOURS = ("#4c86c6", "#e08a2c", "#58a06d", "#b06ab3", "#c65a52", "#8a7a5c", "#4fa6a6", "#8b93a1")
INK, CROSS = "#ffffff", "#1c1f26"
LEAST_FOR_NUMBER, LARGEST = 15.0, 48.0
GAP = 0.06


def drawn(judged: Sequence[Judged], shares: Sequence[Sequence[Task]]) -> bytes:
    """An SVG without styles or scripts: its colours are attributes."""
    worker = {task.name: number for number, share in enumerate(shares) for task in share}
    size, tall = cells(judged), height(judged)
    root = ElementTree.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {tall}", width=str(WIDTH), height=str(tall)
    )
    for one in judged:
        cell(root, one, worker[one.task.name], size)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def cells(judged: Sequence[Judged]) -> tuple[float, float]:
    """Width and height of one block: a square where it fits, else one side up to four times the other."""
    rows = 1 + max(one.task.row for one in judged)
    columns = 1 + max(one.task.column for one in judged)
    high = min(HEIGHT / rows, 4 * WIDTH / columns, LARGEST)
    wide = min(WIDTH / columns, 4 * high, LARGEST)
    return wide, min(high, 4 * wide)


def height(judged: Sequence[Judged]) -> int:
    """Pixels of the whole picture."""
    return ceil((1 + max(one.task.row for one in judged)) * cells(judged)[1])


def cell(root: ElementTree.Element, judged: Judged, worker: int, size: tuple[float, float]) -> None:
    wide, high = size
    least = min(size)
    gap = GAP * least
    left, top = judged.task.column * wide, judged.task.row * high
    square = {"x": left + gap, "y": top + gap, "width": wide - 2 * gap, "height": high - 2 * gap}
    add(root, "rect", **square, fill=COLOURS[worker % len(COLOURS)])
    if least >= LEAST_FOR_NUMBER:
        letters = min(13.0, least * 0.55)
        place = {"x": left + wide / 2, "y": top + high / 2 + 0.35 * letters, "font-size": letters}
        text = {"font-family": "DejaVu Sans, Helvetica, Arial, sans-serif", "text-anchor": "middle", "fill": INK}
        add(root, "text", **place, **text).text = str(worker + 1)
    if not judged.right:
        stroke: dict[str, float | str] = {"stroke": CROSS, "stroke-width": max(0.6, least * 0.07)}
        right, bottom = left + wide - gap, top + high - gap
        add(root, "line", x1=left + gap, y1=top + gap, x2=right, y2=bottom, **stroke)
        add(root, "line", x1=left + gap, y1=bottom, x2=right, y2=top + gap, **stroke)


def add(root: ElementTree.Element, tag: str, **attributes: float | str) -> ElementTree.Element:
    texts = {name: one if isinstance(one, str) else f"{one:.2f}" for name, one in attributes.items()}
    return ElementTree.SubElement(root, tag, texts)
