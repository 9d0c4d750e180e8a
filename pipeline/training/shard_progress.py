"""A shard's progress as the server keeps it: it belongs to the shard, whoever works on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.training.schema import Values


class Position(NamedTuple):
    """The next batch of a shard: batches are named by (epoch, shard, step), never by time."""

    epoch: int
    step: int


START = Position(0, 0)


@dataclass(frozen=True)
class Progress:
    """How far a shard is. `steps` are batches in all, `sequence` numbers its gradients."""

    position: Position = START
    sequence: int = 0
    steps: int = 0
    samples: int = 0
    finished: bool = False


@dataclass(frozen=True)
class Gradient:
    """One push, checked against the schema already. `base` is the version that it was computed on."""

    values: Values
    base: int
    sequence: int
    position: Position
    following: Position
    batches: int
    samples: int
    loss: float
    last: bool
    compute_s: float = 0.0
    communication_s: float = 0.0

    def after(self, progress: Progress) -> Progress:
        return replace(
            progress,
            position=self.following,
            sequence=self.sequence,
            steps=progress.steps + self.batches,
            samples=progress.samples + self.samples,
            finished=self.last,
        )


@dataclass
class Contribution:
    """Gradients of one shard that wait for the update, added in the order of their sequence."""

    gradient: NDArray[np.float32]
    buffers: NDArray[np.float32]
    counters: NDArray[np.int64]
    count: int
    samples: int
    losses: float

    @classmethod
    def of(cls, push: Gradient, scale: float) -> Contribution:
        values = push.values
        gradient = values.trainable if scale == 1 else values.trainable * np.float32(scale)
        return cls(gradient, values.buffers, values.counters, 1, push.samples, push.loss)

    def plus(self, other: Contribution) -> Contribution:
        return Contribution(
            self.gradient + other.gradient,
            self.buffers + other.buffers,
            np.maximum(self.counters, other.counters),
            self.count + other.count,
            self.samples + other.samples,
            self.losses + other.losses,
        )


@dataclass
class Figures:
    """What a shard has cost. Bytes (of bodies) and waiting are measured here; the rest the worker reported."""

    bytes_sent: int = 0
    bytes_received: int = 0
    wait_s: float = 0.0
    compute_s: float = 0.0
    communication_s: float = 0.0
    registrations: int = 0
    refused: int = 0
    loss: float | None = None


@dataclass
class Shard:
    """`accepted` counts gradients that wait for their update, `applied` only those that are in the parameters."""

    number: int
    applied: Progress = field(default_factory=Progress)
    accepted: Progress = field(default_factory=Progress)
    pending: Contribution | None = None
    clock: int = 0
    worker: str | None = None
    owner: str | None = None
    expected_until: float = 0.0
    figures: Figures = field(default_factory=Figures)

    def accept(self, push: Gradient, scale: float) -> None:
        new = Contribution.of(push, scale)
        self.pending = new if self.pending is None else self.pending.plus(new)
        self.accepted = push.after(self.accepted)
        self.clock += 1
        self.figures.loss = push.loss
        self.figures.compute_s += push.compute_s
        self.figures.communication_s += push.communication_s

    def apply(self) -> None:
        self.pending = None
        self.applied = self.accepted

    def waited_for(self, now: float) -> bool:
        """Whether a barrier counts this shard: a worker is on it, or is expected back, and it has not finished."""
        return not self.accepted.finished and (self.worker is not None or now < self.expected_until)

    def to_json(self) -> dict[str, Any]:
        return {"number": self.number, "applied": asdict(self.applied), "figures": asdict(self.figures)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Shard:
        progress = Progress(**value["applied"] | {"position": Position(*value["applied"]["position"])})
        return cls(value["number"], progress, progress, figures=Figures(**value["figures"]))
