"""What averaging is to end with: a small model, its shards, torch's gradients, and NumPy for all that follows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.training.optimisers import make_optimiser
from runner.batches import Batches, Position
from runner.dataset import Dataset

ROWS = (40, 40, 32)
"""Of each worker's shard: the last one has a round less in each epoch."""
Vector = NDArray[np.float64]


def make_model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4))


def shard(rank: int) -> Dataset:
    draw = np.random.default_rng(rank)
    return Dataset(draw.normal(size=(ROWS[rank], 1, 4, 4)).astype(np.float32), draw.integers(0, 4, ROWS[rank]))


class Reference:
    """The gradient of any batch of any worker at any parameters."""

    def __init__(self) -> None:
        self.model = make_model()
        self.batches = [Batches(rows, 8, 2, 0, 5, rank) for rank, rows in enumerate(ROWS)]
        self.shards = [shard(rank) for rank in range(len(ROWS))]
        self.start = nn.utils.parameters_to_vector(self.model.parameters()).detach().numpy().astype(float)

    def gradient(self, rank: int, step: int, at: Vector) -> Vector:
        nn.utils.vector_to_parameters(torch.tensor(at, dtype=torch.float32), self.model.parameters())
        self.model.zero_grad()
        batches = self.batches[rank]
        images, labels = self.shards[rank].batch(batches.rows_of(batches.after(Position(0, 0), step)))
        nn.functional.cross_entropy(self.model(images), labels).backward()
        return np.concatenate([one.grad.numpy().reshape(-1) for one in self.model.parameters()]).astype(float)

    def givers(self, round_number: int, interval: int) -> list[int]:
        return [rank for rank, one in enumerate(self.batches) if round_number < one.rounds(interval)]


def one_process(momentum: float, optimiser: str = "sgd") -> Vector:
    """The parameter server's optimiser, which is tested against torch's, on the mean of the workers' batches."""
    reference = Reference()
    x = reference.start.astype(np.float32)
    made = make_optimiser(optimiser, len(x), 0.1, momentum)
    for step in range(10):
        gradients = [reference.gradient(rank, step, x) for rank in reference.givers(step, 1)]
        made.step(x, np.mean(gradients, 0).astype(np.float32))
    return x


def local(reference: Reference, rank: int, x: Vector, velocity: Vector, steps: range) -> tuple[Vector, Vector]:
    for step in steps:
        velocity = 0.5 * velocity + reference.gradient(rank, step, x)
        x = x - 0.1 * velocity
    return x, velocity


def rounds(reference: Reference, interval: int) -> Iterator[tuple[list[int], dict[int, range]]]:
    """Who gives in each round, and the steps of each; rounds end with epochs."""
    done = dict.fromkeys(range(len(ROWS)), 0)
    for number in itertools.count():
        givers = reference.givers(number, interval)
        if not givers:
            return
        spans = {}
        for rank in givers:
            one = reference.batches[rank]
            count = one.round(one.after(Position(0, 0), done[rank]), interval)
            spans[rank] = range(done[rank], done[rank] + count)
            done[rank] += count
        yield givers, spans


def averaged_models(interval: int) -> Vector:
    reference = Reference()
    x = dict.fromkeys(range(len(ROWS)), reference.start)
    v = {rank: np.zeros_like(reference.start) for rank in range(len(ROWS))}
    for givers, spans in rounds(reference, interval):
        for rank in givers:
            x[rank], v[rank] = local(reference, rank, x[rank], v[rank], spans[rank])
        x = dict.fromkeys(x, np.mean([x[rank] for rank in givers], 0))
    return x[0]


def elastic(interval: int, force: float) -> Vector:
    """Zhang, Choromanska and LeCun (1412.6651), equations 5 and 6, after local steps."""
    reference = Reference()
    x = dict.fromkeys(range(len(ROWS)), reference.start)
    v = {rank: np.zeros_like(reference.start) for rank in range(len(ROWS))}
    centre = reference.start
    for givers, spans in rounds(reference, interval):
        for rank in givers:
            x[rank], v[rank] = local(reference, rank, x[rank], v[rank], spans[rank])
        apart = {rank: x[rank] - centre for rank in x}
        x = {rank: x[rank] - force * apart[rank] for rank in x}
        centre = centre + force * sum(apart[rank] for rank in givers)
    return centre
