"""Shards: contiguous rows of the training data, one for each worker, named by their content."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import CourseError

NORMALISATION = {"mean": "0.1307", "std": "0.3081"}

Bytes = NDArray[np.uint8]


def split_rows(rows: int, shards: int) -> list[range]:
    """Cuts rows 0..rows-1 into `shards` contiguous ranges whose lengths differ by at most one, longer ones first.

    Raises CourseError where there are fewer rows than shards, or no shard at all.
    """
    if not 1 <= shards <= rows:
        raise CourseError(f"{rows} rows cannot be cut into {shards} shards", hint="use 1 shard up to one a row")
    length, longer = divmod(rows, shards)
    starts = [shard * length + min(shard, longer) for shard in range(shards + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(starts)]


def shard_bytes(images: Bytes, labels: Bytes) -> bytes:
    """One shard in the safetensors format: `images` uint8 [rows, 28, 28], `labels` uint8 [rows].

    Same rows, same bytes.
    """
    return packed({"images": images, "labels": labels}, NORMALISATION)


def packed(arrays: Mapping[str, Bytes], metadata: Mapping[str, str]) -> bytes:
    """uint8 arrays in the safetensors format. Its package writes metadata in another order each time."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.size
        header[name] = {"dtype": "U8", "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(array.tobytes() for array in arrays.values())])


def shard_key(content: bytes) -> str:
    """The store's key of a shard: by content, so that a second run finds it there."""
    return f"shards/{hashlib.sha256(content).hexdigest()}.safetensors"
