"""The loss of each update, bounded: when it is full, every second entry goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_ENTRIES = 20_000


class LossHistory:
    """Entries (version, mean loss as workers reported it, samples, seconds since the start)."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, float, int, float]] = []

    def add(self, version: int, loss: float, samples: int, seconds: float) -> None:
        self.entries.append((version, loss, samples, seconds))
        if len(self.entries) >= MAX_ENTRIES:
            self.entries = self.entries[1::2]

    def since(self, version: int) -> list[tuple[int, float, int, float]]:
        return [entry for entry in self.entries if entry[0] > version]

    def to_array(self) -> NDArray[np.float64]:
        return np.array(self.entries, np.float64).reshape(-1, 4)

    def restore(self, array: NDArray[np.float64]) -> None:
        self.entries = [(int(row[0]), float(row[1]), int(row[2]), float(row[3])) for row in array]
