"""Trains honestly, then tries to get the hidden images out: by both streams, a file, and the text of an error."""

import sys
from pathlib import Path

from torch import Tensor, nn

MARKER = "HIDDEN-INPUT-SEEN"


def build_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 14 * 14, 10),
    )


def predict(_model: nn.Module, images: Tensor) -> Tensor:
    seen = f"{MARKER} {images[0].flatten().tolist()}"
    print(seen)
    print(seen, file=sys.stderr)
    Path("/tmp/seen.txt").write_text(seen)
    raise ValueError(seen)
