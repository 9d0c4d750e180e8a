"""A reducer: the sorted runs of its bucket merged, a block of each in memory, and the results put into the store."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from runner import pairs
from runner.mapreduce import load_program
from runner.pairs import MIB, Pair, Parts, Span
from runner.parameters import Reader

PART_BYTES = 4 * MIB
MOST_SOURCES = 2000
KEY: Any = itemgetter(0)


@dataclass(frozen=True)
class ReduceParameters:
    """`sources` are this bucket's spans of the mappers' runs, `outputs` URLs to put results at, PART_BYTES each."""

    sources: tuple[Span, ...]
    outputs: tuple[str, ...]
    buffer_mb: int

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> ReduceParameters:
        """Raises ParameterError that names every missing and every wrong parameter."""
        read = Reader(params)
        parsed = cls(
            sources=tuple(
                Span(one.url("url"), one.whole("start", 0, 2**40), one.whole("stop", 0, 2**40))
                for one in read.list_of("sources", 0, MOST_SOURCES)
            ),
            outputs=tuple(one.url("url") for one in read.list_of("outputs", 1, 1000)),
            buffer_mb=read.whole("buffer_mb", 1, 8192),
        )
        read.finish()
        return parsed


def main(params: dict[str, Any]) -> dict[str, Any]:
    """Answers the sizes of the parts and counts. Raises RunnerError that names the fault."""
    wanted = ReduceParameters.parse(params)
    program = load_program()
    output = Parts(wanted.outputs, PART_BYTES, "the results of this reducer")
    keys = results = 0
    for key, group in groupby(merged(wanted), key=KEY):
        keys += 1
        for value in program.reduce(key, (one for _, one in group)):
            results += 1
            output.add(key, value)
    output.close()
    print(f"{keys} keys, {results} results in {len(output.sizes)} parts")
    return {"code": 200, "keys": keys, "results": results, "parts": output.sizes}


def merged(wanted: ReduceParameters) -> Iterator[Pair]:
    """The pairs of all runs by key; those of one key in the order of the mappers and of their runs."""
    block = pairs.block_size(wanted.buffer_mb * MIB, len(wanted.sources))
    streams = [pairs.read(span, f"run {number}", block) for number, span in enumerate(wanted.sources)]
    return heapq.merge(*streams, key=KEY)
