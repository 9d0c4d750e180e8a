"""One picture of each digit: what a function that names digits is first asked for, here and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.data.mnist import Bytes, MnistFiles, read_images, read_labels
from pipeline.data.png import grey_png
from pipeline.files import write_bytes

DIGITS = 10


def one_of_each(files: MnistFiles) -> Bytes:
    """The first training image of each digit, uint8 [10, 28, 28]."""
    images, labels = read_images(files.train_images), read_labels(files.train_labels)
    return images[[int(np.argmax(labels == digit)) for digit in range(DIGITS)]]


def write_digits(files: MnistFiles, out: Path) -> Sequence[Path]:
    """Writes label0.png to label9.png into `out`; their paths."""
    paths = [out / f"label{digit}.png" for digit in range(DIGITS)]
    for path, pixels in zip(paths, one_of_each(files), strict=True):
        write_bytes(path, grey_png(pixels))
    return paths
