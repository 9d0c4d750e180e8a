"""Map-reduce inside the image: whatever is combined, spilled and merged, the output is what one process would give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner import map_task, mapreduce, pairs, reduce_task, storage
from runner.errors import StudentError
from runner.map_task import Buffer
from runner.mapreduce import Program
from runner.pairs import Span

WORD_COUNT = """
def map(key, value):
    for word in value.split():
        yield word, 1

def reduce(key, values):
    return sum(values)
"""
COMBINER = "\ncombine = reduce\n"
Run = Callable[..., dict[Any, Any]]


class Store:
    """Objects by URL, as signed URLs find them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.objects: dict[str, bytes] = {}
        monkeypatch.setattr(storage, "put", self.put)
        monkeypatch.setattr(storage, "get_span", self.get_span)

    def put(self, url: str, _what: str, content: bytes) -> None:
        assert url not in self.objects, "each object is written once"
        self.objects[url] = content

    def get_span(self, url: str, _what: str, start: int, stop: int) -> bytes:
        return self.objects[url][start:stop]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


def url(*parts: object) -> str:
    return "http://store/" + "/".join(map(str, parts))


@pytest.fixture
def run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a program on lines with M mappers and R reducers, as the course's side does; what all reducers gave."""

    def whole(code: str, lines: list[str], mappers: int = 3, reducers: int = 2, **said: Any) -> dict[Any, Any]:
        (tmp_path / "mapreduce.py").write_text(code)
        monkeypatch.setenv("RUNNER_CODE", str(tmp_path))
        mapped = [mapping(number, lines[number::mappers], reducers, said) for number in range(mappers)]
        output = b"".join(reducing(number, mapped) for number in range(reducers))
        found = [line.split("\t") for line in output.decode().splitlines()]
        assert len({key for key, _ in found}) == len(found)
        return {json.loads(key): json.loads(value) for key, value in found}

    def mapping(number: int, lines: list[str], reducers: int, said: dict[str, Any]) -> list[list[int]]:
        split = "".join(f'"text"\t{json.dumps(line)}\n' for line in lines).encode()
        store.objects[url("split", number)] = split
        answer = map_task.main(
            {
                "source_url": url("split", number),
                "source_bytes": len(split),
                "runs": [{"url": url("run", number, one)} for one in range(20)],
                "buckets": reducers,
                "buffer_mb": 1,
            }
        )
        said.setdefault("answers", []).append(answer)
        runs: list[list[int]] = answer["runs"]
        return runs

    def reducing(number: int, mapped: list[list[list[int]]]) -> bytes:
        sources = [
            {"url": url("run", mapper, one), "start": starts[number], "stop": starts[number + 1]}
            for mapper, runs in enumerate(mapped)
            for one, starts in enumerate(runs)
            if starts[number] < starts[number + 1]
        ]
        outputs = [{"url": url("output", number, part)} for part in range(4)]
        answer = reduce_task.main({"sources": sources, "outputs": outputs, "buffer_mb": 1})
        parts = [store.objects[url("output", number, part)] for part in range(len(answer["parts"]))]
        assert [len(one) for one in parts] == answer["parts"]
        return b"".join(parts)

    return whole


@pytest.mark.parametrize("code", [WORD_COUNT, WORD_COUNT + COMBINER], ids=["plain", "combined"])
def test_words_are_counted_to_the_word(code: str, run: Run) -> None:
    lines = [f"the {number % 700} of {number % 3} \N{SNOWMAN} a/b 'quoted' \"tab\\t" for number in range(12_000)]
    answers: list[dict[str, Any]] = []
    assert run(code, lines, answers=answers) == Counter(word for line in lines for word in line.split())
    assert all(len(one["runs"]) > 1 for one in answers) == ("combine" not in code), "what does not fit is spilled"
    assert all(one["pairs"] == 32_000 for one in answers)


def test_a_reducer_may_give_many_results_or_none_and_look_at_some_values_only(run: Run) -> None:
    code = """
def map(key, value):
    return [(value[0], [len(value), None, {"word": value}])]

def reduce(key, values):
    first = next(values)
    return None if key == "x" else [key, first[2]["word"]]
"""
    assert run(code, ["apple", "avocado", "banana", "x-ray"], mappers=1) == {
        "a": ["a", "apple"],
        "b": ["b", "banana"],
    }


def test_no_line_gives_no_output(run: Run) -> None:
    assert run(WORD_COUNT, []) == {}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def map(key, value):\n    return {}[value]\n", "mapreduce.py, line 2: KeyError"),
        ("def map(key, value):\n    yield value, 1\n    1 / 0\n", "mapreduce.py, line 3: ZeroDivisionError"),
        ("def map(key, value):\n    return value\n", "pairs .key, value., one by one or in a list, not str 'the cat'"),
        ("def map(key, value):\n    yield value\n", "gives pairs .key, value., and gave str 'the cat'"),
        ("def map(key, value):\n    yield {1, 2}, 1\n", "a key is no JSON .set."),
        ("def map(key, value):\n    yield 'k', float('nan')\n", "a value is no JSON .float."),
        ("def map(key, value):\n    yield 'k' * 5000, 1\n", "a key has 5002 bytes as JSON, at most 4096 are taken"),
        ("def map(key, value):\n    yield 'k', 'v' * 2**20\n", "a value has 1048578 bytes as JSON, at most 1048576"),
        ("def map(key, value):\n    while True:\n        yield 'k', 'v' * 99999\n", "more than fits 20 runs of 1 MB"),
        ("def map(key, value):\n    raise SystemExit\n", "mapreduce.py, line 2: SystemExit"),
    ],
)
def test_what_a_program_does_wrong_is_said_with_its_place(code: str, said: str, run: Run) -> None:
    with pytest.raises(StudentError, match=said):
        run(code + "\ndef reduce(key, values):\n    return 1\n", ["the cat"], mappers=1)


def test_results_that_are_too_large_are_refused(run: Run) -> None:
    code = (
        "def map(key, value):\n    yield 1, 1\ndef reduce(key, values):\n    while True:\n        yield 'v' * 10**6\n"
    )
    with pytest.raises(StudentError, match="the results of this reducer have more than 16 MB"):
        run(code, ["the cat"])


def test_a_program_without_its_functions_is_named(run: Run) -> None:
    with pytest.raises(StudentError, match=r"mapreduce.py: there is no function reduce\(key, values\)"):
        run("def map(key, value):\n    yield value, 1\n", ["the cat"])


def test_every_process_puts_a_key_into_the_same_bucket() -> None:
    """Python's own hash of texts differs from process to process."""
    code = "from runner.pairs import bucket_of; print([bucket_of(key, 7) for key in ['1', '[1,2]', 'null']])"
    root = Path(pairs.__file__).parents[1]
    environments = [os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)} for seed in ("1", "2")]
    said = {
        subprocess.run([sys.executable, "-c", code], env=one, check=True, capture_output=True).stdout
        for one in environments
    }
    assert len(said) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(value=JSON)
def test_a_key_has_one_text_and_comes_back_from_it(value: Any) -> None:
    text = pairs.text_of(value, "a key", pairs.MOST_KEY)
    assert json.loads(text) == value
    assert pairs.text_of(json.loads(text), "a key", pairs.MOST_KEY) == text
    assert "\t" not in text
    assert "\n" not in text


def totals(_key: Any, values: Any) -> int:
    return sum(values)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    given_pairs=st.lists(st.tuples(st.text(max_size=2), st.integers(-9, 9)), max_size=60),
    limit=st.integers(1, 4000),
    buckets=st.integers(1, 5),
    combining=st.booleans(),
)
def test_spilling_and_combining_change_nothing(
    given_pairs: list[tuple[str, int]], limit: int, buckets: int, combining: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any buffer, combiner or not, the values of each key add up to the same in the bucket that is its own."""
    store = Store(monkeypatch)
    program = Program("mapreduce.py", totals, totals, totals if combining else None)
    urls = [url("run", number) for number in range(len(given_pairs) + 1)]
    buffer = Buffer(program, urls, buckets, limit)
    for key, value in given_pairs:
        buffer.add(pairs.text_of(key, "a key", 99), str(value))
    buffer.spill()

    expected: Counter[str] = Counter()
    for key, value in given_pairs:
        expected[key] += value
    assert summed(store.objects, dict(zip(urls, buffer.runs, strict=False)), buckets) == dict(expected)


def summed(objects: Mapping[str, bytes], runs: Mapping[str, list[int]], buckets: int) -> dict[str, int]:
    """The sum of each key over all runs, which are sorted within each bucket."""
    found: Counter[str] = Counter()
    assert set(objects) == set(runs)
    for place, starts in runs.items():
        assert starts[-1] == len(objects[place])
        for bucket, (start, stop) in enumerate(pairwise(starts)):
            read = list(pairs.read(Span(place, start, stop), "a run", 7))
            assert [key for key, _ in read] == sorted(key for key, _ in read)
            assert {pairs.bucket_of(key, buckets) for key, _ in read} <= {bucket}
            for key, value in read:
                found[json.loads(key)] += int(value)
    return dict(found)


def test_a_block_is_never_larger_than_its_share_of_the_memory() -> None:
    assert pairs.block_size(16 * 2**20, 4) == 2**20
    assert pairs.block_size(16 * 2**20, 100) * 100 <= 8 * 2**20
    assert mapreduce.BATCH < 1000
