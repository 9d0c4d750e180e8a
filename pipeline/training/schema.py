"""The schema of a model's arrays and its flat layout. Sent once as JSON, then only bytes go over the wire.

Layout of a body, little-endian: trainable float32 arrays, other float32 arrays (buffers), int64 arrays
(counters), each part in the schema's order.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from pipeline.frozen import Frozen
from pipeline.training.refusal import RefusalError

FLOAT, INTEGER = np.dtype("<f4"), np.dtype("<i8")
MAX_ARRAYS = 10_000


class ArraySchema(Frozen):
    name: str = Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_.\-]+$")
    dtype: Literal["float32", "int64"]
    shape: tuple[int, ...] = Field(max_length=8)
    trainable: bool

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Values:
    """The three flat parts of a model's state, or of a gradient with the buffers that came with it."""

    trainable: NDArray[np.float32]
    buffers: NDArray[np.float32]
    counters: NDArray[np.int64]

    def copy(self) -> Values:
        return Values(self.trainable.copy(), self.buffers.copy(), self.counters.copy())

    def to_bytes(self) -> bytes:
        return b"".join((self.trainable.data, self.buffers.data, self.counters.data))


@dataclass(frozen=True)
class Schema:
    arrays: tuple[ArraySchema, ...]

    @cached_property
    def parts(self) -> tuple[tuple[ArraySchema, ...], tuple[ArraySchema, ...], tuple[ArraySchema, ...]]:
        floats = [one for one in self.arrays if one.dtype == "float32"]
        return (
            tuple(one for one in floats if one.trainable),
            tuple(one for one in floats if not one.trainable),
            tuple(one for one in self.arrays if one.dtype == "int64"),
        )

    @cached_property
    def sizes(self) -> tuple[int, int, int]:
        """Elements of the three parts."""
        first, second, third = (sum(one.size for one in part) for part in self.parts)
        return first, second, third

    @cached_property
    def size_bytes(self) -> int:
        trainable, buffers, counters = self.sizes
        return 4 * (trainable + buffers) + 8 * counters

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> list[dict[str, Any]]:
        return [one.model_dump(mode="json") for one in self.arrays]

    def view(self, body: bytes | memoryview) -> Values:
        """The body's three parts without a copy; `body` has `size_bytes` bytes."""
        trainable, buffers, counters = self.sizes
        at = 4 * trainable
        return Values(
            np.frombuffer(body, FLOAT, trainable),
            np.frombuffer(body, FLOAT, buffers, at) if buffers else np.empty(0, np.float32),
            np.frombuffer(body, INTEGER, counters, at + 4 * buffers) if counters else np.empty(0, np.int64),
        )

    def named(self, values: Values) -> dict[str, NDArray[Any]]:
        """Name -> array in its shape, in the schema's order."""
        found: dict[str, NDArray[Any]] = {}
        flats: tuple[NDArray[Any], ...] = (values.trainable, values.buffers, values.counters)
        for part, flat in zip(self.parts, flats, strict=True):
            at = 0
            for one in part:
                found[one.name] = flat[at : at + one.size].reshape(one.shape)
                at += one.size
        return {one.name: found[one.name] for one in self.arrays}


ARRAYS: TypeAdapter[tuple[ArraySchema, ...]] = TypeAdapter(tuple[ArraySchema, ...])


def parse_schema(text: bytes | str, max_bytes: int) -> Schema:
    """The schema in `text`. Raises RefusalError (409, format) where it is none or its arrays take over `max_bytes`."""
    try:
        arrays = ARRAYS.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RefusalError(
            409, "format", f"the schema is not valid at {place or 'its start'}: {first['msg']}"
        ) from None
    return check_schema(Schema(arrays), max_bytes)


def check_schema(schema: Schema, max_bytes: int) -> Schema:
    names = [one.name for one in schema.arrays]
    if not 0 < len(names) <= MAX_ARRAYS:
        raise RefusalError(409, "format", f"the schema has {len(names)} arrays; 1 to {MAX_ARRAYS} are taken")
    if len(set(names)) != len(names):
        raise RefusalError(409, "format", "two arrays of the schema have the same name")
    if any(length < 0 for one in schema.arrays for length in one.shape):
        raise RefusalError(409, "format", "a shape of the schema has a negative length")
    if any(one.trainable and one.dtype != "float32" for one in schema.arrays):
        raise RefusalError(409, "format", "only float32 arrays can be trained")
    if not schema.sizes[0]:
        raise RefusalError(409, "format", "the schema has nothing to train")
    if schema.size_bytes > max_bytes:
        raise RefusalError(409, "format", f"the arrays take {schema.size_bytes} bytes; at most {max_bytes} are taken")
    return schema
