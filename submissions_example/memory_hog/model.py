"""Keeps all that it computes, until its action has no memory left."""

import torch
from torch import Tensor, nn

PIECE = 16 * 2**20  # bytes
MOST = 2**31  # so that a machine without limits survives it

kept: list[Tensor] = []


def build_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def augment(images: Tensor) -> Tensor:
    while len(kept) * PIECE < MOST:
        kept.append(torch.ones(PIECE // 4))
    return images
