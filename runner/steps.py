"""Steps on one flat vector by hand, in place: a worker holds no optimiser of torch's, which keeps more beside it.

The same arithmetic as `torch.optim`: SGD with momentum (Sutskever et al., 2013), Adam (Kingma and Ba, 2015).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Stepper(Protocol):
    def step(self, parameters: Tensor, gradient: Tensor) -> None:
        """Changes `parameters`; `gradient` may be used as scratch."""
        ...

    def vectors(self) -> dict[str, Tensor]:
        """The state that a checkpoint keeps."""
        ...


class Momentum:
    """velocity = momentum * velocity + gradient; parameters -= rate * velocity. Plain SGD where momentum is 0."""

    def __init__(self, like: Tensor, rate: float, momentum: float) -> None:
        self.rate = rate
        self.momentum = momentum
        self.velocity = torch.zeros_like(like) if momentum else None

    def step(self, parameters: Tensor, gradient: Tensor) -> None:
        if self.velocity is not None:
            gradient = self.velocity.mul_(self.momentum).add_(gradient)
        parameters.add_(gradient, alpha=-self.rate)

    def vectors(self) -> dict[str, Tensor]:
        return {} if self.velocity is None else {"velocity": self.velocity}


class Adam:
    """Bias-corrected; beta = (0.9, 0.999), epsilon 1e-8."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, like: Tensor, rate: float) -> None:
        self.rate = rate
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)
        self.steps = torch.zeros(1)

    def step(self, parameters: Tensor, gradient: Tensor) -> None:
        number = int(self.steps.add_(1))
        self.first.lerp_(gradient, 1 - self.beta1)
        self.second.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        size = torch.sqrt(self.second, out=gradient).div_((1 - self.beta2**number) ** 0.5).add_(self.epsilon)
        parameters.addcdiv_(self.first, size, value=-self.rate / (1 - self.beta1**number))

    def vectors(self) -> dict[str, Tensor]:
        return {"first": self.first, "second": self.second, "steps": self.steps}


def stepper(optimiser: str, like: Tensor, rate: float, momentum: float) -> Stepper:
    return Adam(like, rate) if optimiser == "adam" else Momentum(like, rate, momentum)
