"""A mapper: lines of its split in, pairs out, in memory up to a bound and then in sorted runs in the store.

A run is one object. In it the buckets lie one after another, sorted by key; the answer says where each begins, so that
a reducer fetches its own bytes of it and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner import pairs, storage
from runner.errors import StudentError
from runner.mapreduce import Program, load_program
from runner.pairs import MIB, Span
from runner.parameters import Reader

KEY_BYTES, VALUE_BYTES = 240, 60
"""What a key and a value take beside their text: a place in a dictionary, a list, two headers of Python's."""
KEPT_AFTER_COMBINING = 0.5
"""A buffer that combining leaves fuller than this is spilled."""


@dataclass(frozen=True)
class MapParameters:
    """`runs` are URLs to put runs at; `buffer_mb` bounds what waits in memory, in MB of 2**20 bytes."""

    source: Span
    runs: tuple[str, ...]
    buckets: int
    buffer_mb: int

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> MapParameters:
        """Raises ParameterError that names every missing and every wrong parameter."""
        read = Reader(params)
        parsed = cls(
            source=Span(read.url("source_url"), 0, read.whole("source_bytes", 0, 2**40)),
            runs=tuple(one.url("url") for one in read.list_of("runs", 1, 1000)),
            buckets=read.whole("buckets", 1, 1000),
            buffer_mb=read.whole("buffer_mb", 1, 8192),
        )
        read.finish()
        return parsed


def main(params: dict[str, Any]) -> dict[str, Any]:
    """Answers where each bucket begins in each run, and counts. Raises RunnerError that names the fault."""
    wanted = MapParameters.parse(params)
    program = load_program()
    buffer = Buffer(program, wanted.runs, wanted.buckets, wanted.buffer_mb * MIB)
    lines = 0
    for key, value in pairs.read(wanted.source, "the split", pairs.block_size(wanted.buffer_mb * MIB, 1)):
        lines += 1
        for pair in program.map(key, value):
            buffer.add(*pair)
    buffer.spill()
    print(f"{lines} lines, {buffer.pairs} pairs, {buffer.stored} stored in {len(buffer.runs)} runs")
    return {"code": 200, "lines": lines, "pairs": buffer.pairs, "stored": buffer.stored, "runs": buffer.runs}


class Buffer:
    """Values by key. When it is full they are combined, and what is then still too much becomes a run."""

    def __init__(self, program: Program, urls: Sequence[str], buckets: int, limit: int) -> None:
        self.program = program
        self.urls = urls
        self.buckets = buckets
        self.limit = limit
        self.values: dict[str, list[str]] = {}
        self.size = 0
        self.pairs = self.stored = 0
        self.runs: list[list[int]] = []

    def add(self, key: str, value: str) -> None:
        known = self.values.get(key)
        if known is None:
            self.values[key] = [value]
            self.size += KEY_BYTES + len(key)
        else:
            known.append(value)
        self.size += VALUE_BYTES + len(value)
        self.pairs += 1
        if self.size > self.limit:
            self.make_room()

    def make_room(self) -> None:
        self.combine()
        if self.size > self.limit * KEPT_AFTER_COMBINING:
            self.spill()

    def combine(self) -> None:
        if self.program.combine_function is None:
            return
        combined = ((key, self.program.combine(key, values)) for key, values in self.values.items())
        self.values = {key: values for key, values in combined if values}
        self.size = sum(
            KEY_BYTES + len(key) + sum(VALUE_BYTES + len(value) for value in values)
            for key, values in self.values.items()
        )

    def spill(self) -> None:
        """Stores all that is in memory as one run; nothing where nothing is. Raises StudentError, TransferError."""
        self.combine()
        if not self.values:
            return
        if len(self.runs) == len(self.urls):
            raise StudentError(
                f"map gave more than fits {len(self.urls)} runs of {self.limit // MIB} MB of memory each: "
                "give fewer pairs, add `combine`, or set a larger buffer_mb"
            )
        starts, content = self.sorted_run()
        storage.put(self.urls[len(self.runs)], f"run {len(self.runs)}", content)
        self.runs.append(starts)
        self.values, self.size = {}, 0

    def sorted_run(self) -> tuple[list[int], bytes]:
        """Where each bucket begins and the last one ends, and the bytes."""
        keys: list[list[str]] = [[] for _ in range(self.buckets)]
        for key in sorted(self.values):
            keys[pairs.bucket_of(key, self.buckets)].append(key)
        starts, content = [0], bytearray()
        for bucket in keys:
            for key in bucket:
                values = self.values.pop(key)
                self.stored += len(values)
                content += "".join([f"{key}\t{value}\n" for value in values]).encode("ascii")
            starts.append(len(content))
        return starts, bytes(content)
