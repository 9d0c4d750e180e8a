"""Operands, never whole: each part of one follows from the assignment's secret, so no answer can be known before.

Values are multiples of 1/2048 from -1 to just below 1. In float64 the products of two and sums of 2**29 of these are
exact: what is judged is the rounding of the student's float32 alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.hidden import numbers

TILE = 64
"""Rows and columns that are made at once: the same values however a matrix is cut afterwards."""
STEPS = 2048

Matrix = NDArray[np.float32]


class Span(NamedTuple):
    """Rows or columns from `start` up to but without `stop`."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


class Operands:
    """All operands of one assignment."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def part(self, operand: str, rows: Span, columns: Span) -> Matrix:
        """A part of an operand, float32 [rows, columns]; memory for that part alone."""
        part = np.empty((rows.size, columns.size), np.float32)
        for top in range(rows.start // TILE, -(-rows.stop // TILE)):
            for left in range(columns.start // TILE, -(-columns.stop // TILE)):
                inside, here = overlap(top, rows)
                across, there = overlap(left, columns)
                part[inside, across] = self.tile(operand, top, left)[here, there]
        return part

    def tile(self, operand: str, row: int, column: int) -> Matrix:
        drawn = numbers(self.secret, f"matrix {operand} {row} {column}", TILE * TILE, "<u2")
        steps = (drawn % np.uint16(2 * STEPS)).astype(np.float32).reshape(TILE, TILE)
        values: Matrix = steps / np.float32(STEPS) - np.float32(1)
        return values


def overlap(tile: int, span: Span) -> tuple[slice, slice]:
    """Where a tile lies in the part, and what of the tile that is."""
    start, stop = max(span.start, tile * TILE), min(span.stop, (tile + 1) * TILE)
    return slice(start - span.start, stop - span.start), slice(start - tile * TILE, stop - tile * TILE)
