"""A student's map-reduce: `map` and `reduce`, and where it is there `combine`.

def map(key, value) -> yields or returns pairs (key, value)
def reduce(key, values) -> the result for that key, or yields several; None: none. `values` is an iterator
def combine(key, values) -> as reduce; what it gives stands for `values`, which are some of the key's

Keys and values are JSON values. A mapper calls `combine` any number of times, also not at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from runner.errors import StudentError
from runner.pairs import MOST_KEY, MOST_VALUE, Pair, text_of
from runner.student import code_folder, load_file, student_code

ENTRY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.py")
BATCH = 256
"""Results taken of a student's generator at a time."""
NOT_PAIRS = (str, bytes, dict)


@dataclass(frozen=True)
class Program:
    """The functions of the student's entry file. Each raises StudentError in place of what the code raises."""

    entry: str
    map_function: Callable[[Any, Any], Any]
    reduce_function: Callable[[Any, Iterator[Any]], Any]
    combine_function: Callable[[Any, Iterator[Any]], Any] | None

    def map(self, key: str, value: str) -> Iterator[Pair]:
        """The pairs that `map` gives for a line of the input, as texts."""
        name = f"{self.entry}, map"
        with student_code(name):
            found = self.map_function(json.loads(key), json.loads(value))
        if found is None:
            return
        if isinstance(found, NOT_PAIRS) or not isinstance(found, Iterable):
            raise StudentError(f"{name}: it gives pairs (key, value), one by one or in a list, not {described(found)}")
        for pair in taken(found, name):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise StudentError(f"{name}: it gives pairs (key, value), and gave {described(pair)}")
            yield text_of(pair[0], f"{name}: a key", MOST_KEY), text_of(pair[1], f"{name}: a value", MOST_VALUE)

    def combine(self, key: str, values: list[str]) -> list[str]:
        """The values that stand for `values` of one key, as texts."""
        if self.combine_function is None or len(values) < 2:
            return values
        return list(self.results(self.combine_function, "combine", key, iter(values)))

    def reduce(self, key: str, values: Iterator[str]) -> Iterator[str]:
        """The results for a key, as texts."""
        return self.results(self.reduce_function, "reduce", key, values)

    def results(self, function: Callable[..., Any], name: str, key: str, values: Iterator[str]) -> Iterator[str]:
        where = f"{self.entry}, {name}"
        with student_code(where):
            found = function(json.loads(key), map(json.loads, values))
        for value in taken(found, where) if isinstance(found, Iterator) else () if found is None else (found,):
            yield text_of(value, f"{where}: a value", MOST_VALUE)


def taken(values: Iterable[Any], where: str) -> Iterator[Any]:
    """The student's values, a batch at a time: what is done with them must not be taken for the student's code."""
    with student_code(where):
        iterator = iter(values)
    while True:
        with student_code(where):
            batch = list(islice(iterator, BATCH))
        yield from batch
        if len(batch) < BATCH:
            return


def described(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:40]!r}"


def load_program() -> Program:
    """Loads RUNNER_ENTRY (default mapreduce.py) of the code folder. Raises StudentError."""
    entry = os.environ.get("RUNNER_ENTRY") or "mapreduce.py"
    if not ENTRY.fullmatch(entry):
        raise StudentError(f"RUNNER_ENTRY is {entry[:80]!r}, not the name of a Python file in the code folder")
    module = load_file(code_folder() / entry)
    functions = {name: getattr(module, name, None) for name in ("map", "reduce", "combine")}
    for name, function in functions.items():
        if not callable(function) and (name != "combine" or function is not None):
            raise StudentError(f"{entry}: there is no function {name}(key, {'value' if name == 'map' else 'values'})")
    return Program(entry, functions["map"], functions["reduce"], functions["combine"])  # type: ignore[arg-type]
