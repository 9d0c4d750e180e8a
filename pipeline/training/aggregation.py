"""Averages what shards have contributed, in the order of their numbers, so that arrival order changes no bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.training.schema import Values
from pipeline.training.shard_progress import Contribution


def average(contributions: Sequence[Contribution], out: NDArray[np.float32]) -> int:
    """The mean gradient into `out`; how many gradients it is of. `contributions` come ordered and are not empty."""
    return mean([one.gradient for one in contributions], contributions, out)


def average_buffers(contributions: Sequence[Contribution], into: Values) -> None:
    """Float buffers, such as BatchNorm's running statistics, are averaged; counters take the largest."""
    if into.buffers.size:
        mean([one.buffers for one in contributions], contributions, into.buffers)
    for one in contributions:
        np.maximum(into.counters, one.counters, out=into.counters)


def mean(arrays: Sequence[NDArray[np.float32]], contributions: Sequence[Contribution], out: NDArray[np.float32]) -> int:
    count = sum(one.count for one in contributions)
    if len(arrays) == 1:
        np.copyto(out, arrays[0])
    else:
        np.add(arrays[0], arrays[1], out=out)
        for array in arrays[2:]:
            out += array
    if count > 1:
        out *= np.float32(1 / count)
    return count
