"""Checkpoints: one safetensors object each, written beside the training and read at a resume."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.errors import InfrastructureError
from pipeline.files import write_bytes
from pipeline.training.schema import ARRAYS, Schema, Values

if TYPE_CHECKING:
    from pipeline.backends.store import Bucket

SLOTS = ("checkpoint-a.safetensors", "checkpoint-b.safetensors")
"""The last two checkpoints, written in turns, so that a whole one is always there."""
INITIAL = "initial.safetensors"
FINAL = "final.safetensors"
FORMAT = "1"
NAME = re.compile(r"[a-z0-9-]+\.safetensors")
MAX_BYTES = 2**32


def version_name(version: int) -> str:
    return f"version-{version:08}.safetensors"


class CheckpointStore(Protocol):
    """Keeps objects whole or not at all."""

    def put(self, name: str, content: bytes) -> None: ...

    def get(self, name: str) -> bytes:
        """Raises KeyError where there is none."""
        ...


class FolderStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, content: bytes) -> None:
        write_bytes(self.path(name), content, mode=0o600)

    def get(self, name: str) -> bytes:
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None

    def path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a checkpoint")
        return self.folder / name


class BucketStore:
    """In a bucket of the course's store, below `prefix`. A PUT there is whole or nothing."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix.rstrip("/")

    def put(self, name: str, content: bytes) -> None:
        self.bucket.put(f"{self.prefix}/{name}", content)

    def get(self, name: str) -> bytes:
        return self.bucket.get(f"{self.prefix}/{name}", at_most=MAX_BYTES)


@dataclass(frozen=True)
class Checkpoint:
    """A consistent copy of everything that a server needs to go on. `shards` are those of `Shard.to_json`."""

    version: int
    schema: Schema
    values: Values
    optimiser: str
    optimiser_steps: int
    optimiser_vectors: dict[str, NDArray[np.float32]]
    shards: list[dict[str, Any]]
    history: NDArray[np.float64]
    more: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        tensors = arrays_of(self)
        state = {
            "version": self.version,
            "schema": self.schema.to_json(),
            "optimiser": self.optimiser,
            "optimiser_steps": self.optimiser_steps,
            "shards": self.shards,
            "more": self.more,
        }
        text = json.dumps(state, allow_nan=True)
        return save(tensors, {"format": FORMAT, "state": text, "sha256": digest(text, tensors)})


def arrays_of(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    values = checkpoint.values
    tensors: dict[str, NDArray[Any]] = {
        "trainable": values.trainable,
        "buffers": values.buffers,
        "counters": values.counters,
        "history": checkpoint.history,
    }
    return tensors | {f"optimiser.{name}": one for name, one in checkpoint.optimiser_vectors.items()}


def digest(text: str, tensors: dict[str, NDArray[Any]]) -> str:
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        found.update(np.ascontiguousarray(tensors[name]).tobytes())
    return found.hexdigest()


def read_checkpoint(content: bytes) -> Checkpoint:
    """Raises ValueError where `content` is not a whole checkpoint of this format."""
    try:
        tensors, metadata = load(content), read_metadata(content)
        text = metadata["state"]
        if metadata["format"] != FORMAT or metadata["sha256"] != digest(text, tensors):
            raise ValueError("its digest or format is another")
        state = json.loads(text)
        schema = Schema(ARRAYS.validate_python(state["schema"]))
        values = Values(tensors["trainable"], tensors["buffers"], tensors["counters"])
        vectors = {name.removeprefix("optimiser."): one for name, one in tensors.items() if "optimiser." in name}
        return Checkpoint(
            version=state["version"],
            schema=schema,
            values=values,
            optimiser=state["optimiser"],
            optimiser_steps=state["optimiser_steps"],
            optimiser_vectors=vectors,
            shards=state["shards"],
            history=tensors["history"],
            more=state["more"],
        )
    except (SafetensorError, KeyError, TypeError, ValidationError, json.JSONDecodeError) as error:
        raise ValueError(f"it cannot be read: {error}") from error


def read_metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors object: an 8-byte length, then a JSON header (the format's description)."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return metadata


def last_checkpoint(store: CheckpointStore) -> Checkpoint | None:
    """The newest whole checkpoint; None where there has been none.

    Raises InfrastructureError where there are checkpoints and none of them can be read.
    """
    found: list[Checkpoint] = []
    faults: list[str] = []
    for name in SLOTS:
        try:
            found.append(read_checkpoint(store.get(name)))
        except KeyError:
            continue
        except ValueError as error:
            faults.append(f"{name}: {error}")
    if faults and not found:
        raise InfrastructureError(f"no checkpoint can be read: {'; '.join(faults)}", hint="start the run anew")
    return max(found, key=lambda one: one.version, default=None)


def parameters_object(schema: Schema, values: Values, version: int) -> bytes:
    """A model's state, name -> array, as prediction reads it."""
    arrays = schema.named(values)  # contiguous; ascontiguousarray would give a counter, which has no axis, one
    return save(arrays, {"version": str(version)})  # one entry: their order is not fixed
