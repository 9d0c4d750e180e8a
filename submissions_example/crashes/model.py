"""Raises in the middle of training, each time it is tried: the student is to see the line and the reason."""

from torch import Tensor, nn

calls = 0


def build_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def loss(outputs: Tensor, labels: Tensor) -> Tensor:
    global calls
    calls += 1
    if calls >= 5:
        raise ValueError("the fifth batch was the last")
    return nn.functional.cross_entropy(outputs, labels)
