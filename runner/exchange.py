"""Averaging through the store alone (LambdaML, 2105.07806): who sums what is fixed, and so is every object's key.

AllReduce: one chunk, which worker 0 sums. ScatterReduce: a chunk for each worker, which that worker sums. Sums are
taken in the workers' order, so that both give the same bits, whoever comes first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runner.bucket import Bucket
from runner.errors import FormatError

Vector = NDArray[np.float32]
FLOAT_BYTES = 4
NOTHING = b""


def owners_of(aggregation: str, workers: int) -> tuple[int, ...]:
    """The worker that sums each chunk."""
    return tuple(range(workers)) if aggregation == "scatterreduce" else (0,)


class Exchange:
    """One worker's side. Objects of a round stay until `forget` is called for it.

    `again` says that this worker may have been here before: it keeps to a sum that it has given already.
    """

    def __init__(self, bucket: Bucket, rank: int, workers: int, owners: Sequence[int], length: int) -> None:
        self.bucket = bucket
        self.rank = rank
        self.workers = workers
        self.owners = owners
        self.chunks = [
            slice(number * length // len(owners), (number + 1) * length // len(owners)) for number in range(len(owners))
        ]
        self.again = False

    def average(self, round_number: int, vector: Vector, gives: bool, until: float) -> None:
        """Puts the mean of all who give into `vector`. Raises LateError after `until`; then `vector` is of no use."""
        for chunk, owner in enumerate(self.owners):
            if owner != self.rank:
                content = part_bytes(vector[self.chunks[chunk]]) if gives else NOTHING
                self.bucket.put(part_key(round_number, self.rank, chunk), content)
        for chunk, owner in enumerate(self.owners):
            if owner == self.rank:
                self.reduce(round_number, chunk, vector[self.chunks[chunk]], gives, until)
        for chunk, owner in enumerate(self.owners):
            if owner != self.rank:
                into = vector[self.chunks[chunk]]
                into[:] = self.part(self.bucket.wait(merged_key(round_number, chunk), until), into.size)

    def reduce(self, round_number: int, chunk: int, mine: Vector, gives: bool, until: float) -> None:
        key = merged_key(round_number, chunk)
        given = self.bucket.get(key) if self.again else None
        if given is not None:
            mine[:] = self.part(given, mine.size)
            return
        self.again = False
        own, count = mine.copy() if gives else None, 0
        for rank in range(self.workers):
            part = own if rank == self.rank else self.part_of(round_number, rank, chunk, mine.size, until)
            if part is None:
                continue
            mine[:] = part if count == 0 else mine + part
            count += 1
        if count > 1:
            mine *= np.float32(1 / count)
        self.bucket.put(key, part_bytes(mine))

    def part_of(self, round_number: int, rank: int, chunk: int, size: int, until: float) -> Vector | None:
        content = self.bucket.wait(part_key(round_number, rank, chunk), until)
        return self.part(content, size) if content else None

    def part(self, content: bytes, size: int) -> Vector:
        if len(content) != FLOAT_BYTES * size:
            raise FormatError(
                f"another worker's part has {len(content)} bytes, this model's {FLOAT_BYTES * size}: "
                "build_model() must give the same arrays in each worker"
            )
        return np.frombuffer(content, "<f4")

    def forget(self, rounds: range) -> None:
        """Removes what this worker has put in these rounds."""
        own = [chunk for chunk, owner in enumerate(self.owners) if owner == self.rank]
        others = [chunk for chunk in range(len(self.owners)) if chunk not in own]
        self.bucket.delete(
            [
                key
                for number in rounds
                for key in (
                    *(part_key(number, self.rank, chunk) for chunk in others),
                    *(merged_key(number, chunk) for chunk in own),
                )
            ]
        )


def part_key(round_number: int, rank: int, chunk: int) -> str:
    return f"exchange/{round_number:06}-{rank}-{chunk}"


def merged_key(round_number: int, chunk: int) -> str:
    return f"exchange/{round_number:06}-merged-{chunk}"


def part_bytes(vector: Vector) -> memoryview:
    """float32, little-endian, as they lie in memory."""
    return vector.view(np.uint8).data
