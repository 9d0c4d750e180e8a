"""Which rows a batch has and which random numbers it draws: named by (epoch, shard, step), never by time."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray


class Position(NamedTuple):
    epoch: int
    step: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.step}"


class Batches:
    """The batches of one shard; the last of an epoch may be smaller. `max_steps` 0 means no bound but the epochs."""

    def __init__(self, rows: int, size: int, epochs: int, max_steps: int, seed: int, shard: int) -> None:
        self.rows = rows
        self.size = size
        self.steps = -(-rows // size)
        self.total = min(epochs * self.steps, max_steps or epochs * self.steps)
        self.seed = seed
        self.shard = shard
        self.order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def after(self, position: Position, count: int) -> Position:
        number = self.number(position) + count
        return Position(number // self.steps, number % self.steps)

    def number(self, position: Position) -> int:
        """Batches before this one."""
        return position.epoch * self.steps + position.step

    def is_last(self, position: Position) -> bool:
        """Whether nothing is left to do from here."""
        return self.number(position) >= self.total

    def round(self, position: Position, wanted: int) -> int:
        """How many batches the next gradient is of: as wanted, but of one epoch and not past the end."""
        return min(wanted, self.steps - position.step, self.total - self.number(position))

    def rounds(self, wanted: int) -> int:
        """How many gradients of `wanted` batches the whole shard makes."""
        epochs, rest = divmod(self.total, self.steps)
        return epochs * -(-self.steps // wanted) + -(-rest // wanted)

    def rows_of(self, position: Position) -> NDArray[np.int64]:
        if self.order[0] != position.epoch:
            chosen = np.random.default_rng([self.seed, position.epoch, self.shard])
            self.order = (position.epoch, chosen.permutation(self.rows))
        at = position.step * self.size
        return self.order[1][at : at + self.size]

    def seed_randomness(self, position: Position) -> None:
        """For dropout and augmentation: the same batch draws the same numbers, in whichever activation."""
        state = np.random.SeedSequence([self.seed, position.epoch, self.shard, position.step]).generate_state(1)
        number = int(state[0])
        torch.default_generator.manual_seed(number)  # torch.manual_seed looks for every other device each time
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed_all(number)
        np.random.seed(number)
        random.seed(number)
