"""Optimisers on one flat float32 vector, in place. Same arithmetic as torch.optim's; tests compare the two.

Sources: Sutskever et al., 2013 (momentum as torch.optim.SGD has it); Kingma and Ba, 2015 (Adam).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Optimiser(Protocol):
    steps: int

    def step(self, parameters: Vector, gradient: Vector) -> None:
        """One update of `parameters` in place; `gradient` may be used as scratch."""
        ...

    def vectors(self) -> dict[str, Vector]:
        """The state that a checkpoint keeps, by name; the arrays themselves."""
        ...


class SGD:
    """velocity = momentum * velocity + gradient; parameters -= learning_rate * velocity."""

    def __init__(self, size: int, learning_rate: float, momentum: float) -> None:
        self.learning_rate = np.float32(learning_rate)
        self.momentum = np.float32(momentum)
        self.velocity = np.zeros(size, np.float32)
        self.steps = 0

    def step(self, parameters: Vector, gradient: Vector) -> None:
        self.steps += 1
        if self.momentum:
            self.velocity *= self.momentum
            self.velocity += gradient
            np.multiply(self.velocity, self.learning_rate, out=gradient)
        else:
            gradient *= self.learning_rate
        parameters -= gradient

    def vectors(self) -> dict[str, Vector]:
        return {"velocity": self.velocity}


class Adam:
    """Adam with bias correction, beta = (0.9, 0.999), epsilon 1e-8, as torch.optim.Adam's defaults."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, size: int, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.first = np.zeros(size, np.float32)
        self.second = np.zeros(size, np.float32)
        self.scratch = np.empty(size, np.float32)
        self.steps = 0

    def step(self, parameters: Vector, gradient: Vector) -> None:
        self.steps += 1
        scratch = self.scratch
        self.first *= np.float32(self.beta1)
        self.first += np.multiply(gradient, np.float32(1 - self.beta1), out=scratch)
        np.multiply(gradient, gradient, out=gradient)
        self.second *= np.float32(self.beta2)
        self.second += np.multiply(gradient, np.float32(1 - self.beta2), out=scratch)
        np.sqrt(self.second, out=scratch)
        scratch *= np.float32(1 / (1 - self.beta2**self.steps) ** 0.5)
        scratch += np.float32(self.epsilon)
        np.divide(self.first, scratch, out=scratch)
        scratch *= np.float32(self.learning_rate / (1 - self.beta1**self.steps))
        parameters -= scratch

    def vectors(self) -> dict[str, Vector]:
        return {"first": self.first, "second": self.second}


def make_optimiser(name: str, size: int, learning_rate: float, momentum: float) -> Optimiser:
    """The optimiser `name` (sgd, adam) for `size` parameters, at rest."""
    if name == "adam":
        return Adam(size, learning_rate)
    return SGD(size, learning_rate, momentum)


def restore(optimiser: Optimiser, steps: int, vectors: dict[str, NDArray[Any]]) -> None:
    """Puts a checkpoint's state back. Raises KeyError or ValueError where it is another optimiser's or size's."""
    for name, vector in optimiser.vectors().items():
        vector[:] = vectors[name]
    optimiser.steps = steps
