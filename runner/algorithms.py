"""What workers average: gradients, models after local steps, or models that a common centre draws in.

`work` does a worker's part of one round and leaves in the model's `sent` buffer what is to be averaged; `merged` uses
the mean of as many as gave, which has come back there. `batch(number)` adds one batch's gradient to the flat one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from runner.flat_model import FlatModel
from runner.steps import Stepper

BatchLoss = tuple[float, int]
Batch = Callable[[int], BatchLoss]


class GradientAveraging:
    """The mean gradient of `update_intv` batches; each worker takes the same step by the mean of all workers."""

    def __init__(self, flat: FlatModel, stepper: Stepper) -> None:
        self.flat = flat
        self.stepper = stepper

    def work(self, batch: Batch, batches: int) -> list[BatchLoss]:
        self.flat.gradient.zero_()
        found = [batch(number) for number in range(batches)]
        self.flat.give_gradient(batches)
        return found

    def merged(self, _givers: int) -> None:
        self.flat.take_sent(self.flat.gradient)
        self.stepper.step(self.flat.parameters, self.flat.gradient)

    def vectors(self) -> dict[str, Tensor]:
        return self.stepper.vectors()

    def start(self) -> None:
        """The model has its initial values now."""

    def result(self) -> Tensor:
        """The parameters that the training has come to."""
        return self.flat.parameters


class ModelAveraging(GradientAveraging):
    """`update_intv` local steps, then the mean of all models. Momentum stays each worker's own."""

    def work(self, batch: Batch, batches: int) -> list[BatchLoss]:
        found = local_steps(self.flat, self.stepper, batch, batches)
        self.flat.give_parameters()
        return found

    def merged(self, _givers: int) -> None:
        self.flat.take_sent(self.flat.parameters)


class Elastic(ModelAveraging):
    """EASGD (1412.6651): after local steps, x -= a (x - c) in each worker, and c += a * the sum of all x - c.

    Each worker holds the centre c and moves it by the same mean.
    """

    def __init__(self, flat: FlatModel, stepper: Stepper, force: float) -> None:
        super().__init__(flat, stepper)
        self.force = force
        self.centre = flat.parameters.clone()

    def start(self) -> None:
        self.centre.copy_(self.flat.parameters)

    def merged(self, givers: int) -> None:
        mean = torch.empty_like(self.centre)
        self.flat.take_sent(mean)
        self.flat.parameters.lerp_(self.centre, self.force)
        self.centre.lerp_(mean, self.force * givers)

    def vectors(self) -> dict[str, Tensor]:
        return super().vectors() | {"centre": self.centre}

    def result(self) -> Tensor:
        return self.centre


def local_steps(flat: FlatModel, stepper: Stepper, batch: Batch, batches: int) -> list[BatchLoss]:
    found = []
    for number in range(batches):
        flat.gradient.zero_()
        found.append(batch(number))
        stepper.step(flat.parameters, flat.gradient)
    return found


def algorithm(name: str, flat: FlatModel, stepper: Stepper, force: float) -> GradientAveraging:
    if name == "easgd":
        return Elastic(flat, stepper, force)
    return (ModelAveraging if name == "model-averaging" else GradientAveraging)(flat, stepper)


def means(found: Sequence[BatchLoss]) -> tuple[float, int]:
    """Sum of losses and of samples."""
    return sum(loss for loss, _ in found), sum(samples for _, samples in found)
