"""The loss of each update, bounded: when it is full, every second entry goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_ENTRIES = 20_000


class LossHistory:
    """Entries (version, mean loss as workers reported it, samples, seconds since the start), in one array."""

    def __init__(self) -> None:
        self.rows = np.zeros((MAX_ENTRIES, 4), np.float64)
        self.length = 0

    def add(self, version: int, loss: float, samples: int, seconds: float) -> None:
        if self.length == MAX_ENTRIES:
            kept = self.rows[1::2].copy()
            self.length = len(kept)
            self.rows[: self.length] = kept
        self.rows[self.length] = version, loss, samples, seconds
        self.length += 1

    def since(self, version: int) -> list[tuple[int, float, int, float]]:
        found = self.rows[: self.length]
        first = int(np.searchsorted(found[:, 0], version, side="right"))
        return [(int(row[0]), float(row[1]), int(row[2]), float(row[3])) for row in found[first:]]

    def to_array(self) -> NDArray[np.float64]:
        return self.rows[: self.length].copy()

    def restore(self, array: NDArray[np.float64]) -> None:
        self.length = min(len(array), MAX_ENTRIES)
        self.rows[: self.length] = array[-self.length :] if self.length else 0
