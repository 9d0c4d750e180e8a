"""The pictures that were mistaken, as one PNG: each with what it is and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.mnist import Bytes
from pipeline.figures import Picture
from pipeline.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "mistakes.png"
MOST_TILES, COLUMNS = 40, 10
TILE_INCHES, WORDS_INCHES, EDGE_INCHES = 0.7, 0.22, 0.06
DOTS = 192
"""an inch; the page shows 96"""
PAPER, INK = "black", "white"
"""As the digits are, by day and by night."""


@dataclass(frozen=True)
class Mistake:
    """The hidden picture of that number, its label, and the answer."""

    picture: int
    label: int
    answer: int


def drawn(run: Run, pixels: Bytes, mistakes: Sequence[Mistake]) -> Picture:
    """Draws the first ones into `run.plots`. `pixels` are the hidden pictures, uint8 [pictures, height, width]."""
    shown = mistakes[:MOST_TILES]
    rows, columns = -(-len(shown) // COLUMNS), min(COLUMNS, len(shown))
    width, height = COLUMNS * TILE_INCHES, rows * (TILE_INCHES + WORDS_INCHES)
    run.plots.mkdir(parents=True, exist_ok=True)
    sheet(pixels, shown, width, height).savefig(
        run.plots / FILE, dpi=DOTS, facecolor=PAPER, metadata={"Software": None}
    )
    more = f" The first {len(shown)} of {len(mistakes)}." if len(mistakes) > len(shown) else ""
    return Picture(
        file=FILE,
        title="Mistaken pictures",
        caption=f"Below each what it is, and what was answered.{more} Hidden pictures, which this assignment shows.",
        description="; ".join(f"a {one.label} taken for {one.answer}" for one in shown) + f", in {columns} columns.",
        width=round(width * 96),
        height=round(height * 96),
    )


def sheet(pixels: Bytes, mistakes: Sequence[Mistake], width: float, height: float) -> Figure:
    # a second of import that no run without mistakes needs
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    paper = np.zeros((round(height * DOTS), round(width * DOTS)), np.uint8)
    for at, one in enumerate(mistakes):
        row, column = divmod(at, COLUMNS)
        left, top = column * TILE_INCHES + EDGE_INCHES / 2, row * (TILE_INCHES + WORDS_INCHES) + EDGE_INCHES
        tile = enlarged(pixels[one.picture], round((TILE_INCHES - EDGE_INCHES) * DOTS))
        down, right = round(top * DOTS), round(left * DOTS)
        paper[down : down + len(tile), right : right + len(tile)] = tile
        middle, below = left + (TILE_INCHES - EDGE_INCHES) / 2, top + TILE_INCHES
        words = f"{one.label} → {one.answer}"
        figure.text(middle / width, 1 - below / height, words, color=INK, ha="center", va="center", fontsize=7)
    figure.figimage(paper, cmap="gray", vmin=0, vmax=255)
    return figure


def enlarged(picture: Bytes, side: int) -> Bytes:
    """A picture as a square of so many dots, each pixel a block."""
    blocks = np.arange(side) * len(picture) // side
    return picture[np.ix_(blocks, blocks)]
