"""Whether a block of the answer is right: computed again in float64, a block at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from pipeline.backends.store import Bucket
from pipeline.errors import LimitError
from pipeline.kinds.matrix import MatrixData
from pipeline.matrices.blocks import Task
from pipeline.matrices.operands import Operands

HEADER_BYTES = 4096
ARRAY = "block"
"""The name of the one array of an object."""
Right = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """A block of the answer. `error` is None where there is no array of finite numbers to compare."""

    task: Task
    right: bool
    error: float | None
    words: str = ""

    @property
    def place(self) -> str:
        return f"block ({self.task.row}, {self.task.column})"


class BlockError(Exception):
    """A block is missing or is not what was asked for; the text is fit for the student."""


def judge(bucket: Bucket, key: str, task: Task, data: MatrixData, operands: Operands) -> Judged:
    """The largest error of a block, relative to the largest value that it should have."""
    try:
        found = read_block(bucket, key, task)
    except BlockError as fault:
        return Judged(task, False, None, str(fault))
    expected = right_block(task, data, operands)
    largest = float(np.abs(expected).max()) or 1.0
    error = float(np.abs(found - expected).max()) / largest
    right = error <= data.tolerance
    return Judged(task, right, error, "" if right else f"is off by {error:.2g} of its largest value")


def read_block(bucket: Bucket, key: str, task: Task) -> NDArray[np.float32]:
    """Raises BlockError."""
    try:
        content = bucket.get(key, at_most=task.bytes + HEADER_BYTES)
    except KeyError:
        raise BlockError("is missing") from None
    except LimitError:
        raise BlockError("is larger than asked") from None
    try:
        block = load(content).get(ARRAY)
    except (SafetensorError, KeyError, ValueError, TypeError):  # KeyError: a dtype that numpy does not have
        raise BlockError("is not in the form asked for") from None
    if block is None or block.dtype != np.float32 or block.shape != task.shape:
        asked = f"float32 {list(task.shape)}"
        raise BlockError(
            f"is {'no array' if block is None else f'{block.dtype} {list(block.shape)}'}, asked is {asked}"
        )
    wrong = np.argwhere(~np.isfinite(block))
    if len(wrong):
        row, column = wrong[0]
        raise BlockError(
            f"has {len(wrong)} values that are no numbers, the first {block[row, column]} at [{row}, {column}]"
        )
    return block


def right_block(task: Task, data: MatrixData, operands: Operands) -> Right:
    """What the block should be, exact but for the last bits of float64."""
    if data.operation == "multiply":
        return product(task, operands)
    parts = {one.operand: operands.part(one.operand, one.rows, one.columns).astype(np.float64) for one in task.reads}
    image = parts["image"]
    return pooled(convolved(image, parts["kernel"]) if "kernel" in parts else image, data.pooled)


def product(task: Task, operands: Operands) -> Right:
    total = np.zeros(task.shape)
    summands = len(task.reads) // 2
    for left, right in zip(task.reads[:summands], task.reads[summands:], strict=True):
        one = operands.part(left.operand, left.rows, left.columns).astype(np.float64)
        total += one @ operands.part(right.operand, right.rows, right.columns).astype(np.float64)
    return total


def convolved(image: Right, kernel: Right) -> Right:
    """As torch's conv2d without padding: the kernel is not turned."""
    rows, columns = image.shape[0] - len(kernel) + 1, image.shape[1] - len(kernel) + 1
    total = np.zeros((rows, columns))
    for (down, across), weight in np.ndenumerate(kernel):
        total += weight * image[down : down + rows, across : across + columns]
    return total


def pooled(image: Right, size: int) -> Right:
    """The largest of each [size, size]."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    largest: Right = image[: rows * size, : columns * size].reshape(rows, size, columns, size).max(axis=(1, 3))
    return largest
