"""The output of a map-reduce, which a process of the student's wrote: bounded, finite, and judged to the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.jobs import mapreduce_output
from pipeline.jobs.mapreduce_output import judged, read_output
from pipeline.kinds.mapreduce import MapReduceData


def data(tmp_path: Path, **values: object) -> MapReduceData:
    (tmp_path / "text").write_text("a b a\n")
    (tmp_path / "expected.json").write_text('{"a": 2, "b": 1}')
    settings = {"name": "text", "text": tmp_path / "text", "expected": tmp_path / "expected.json"}
    return MapReduceData.model_validate(settings | values)


def test_equal_output_is_right(tmp_path: Path) -> None:
    assert judged(data(tmp_path), None, read_output(b'"a"\t2\n"b"\t1\n')).right


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b'"a"\t3\n"b"\t1\n', '1 wrong ("a" is 3, expected 2)'),
        (b'"a"\t2\n', '1 missing ("b")'),
        (b'"a"\t2\n"b"\t1\n"c"\t1\n', 'that should not be there ("c")'),
        (b'"a"\t2\n"a"\t2\n', "more than one result"),
        (b'"a" 2\n', "no pair"),
        (b'"a"\tNaN\n', "no JSON"),
        (b'"a"\t1e999\n', "no JSON"),
        (b'"a"\t' + b"[" * 990 + b"]" * 990 + b"\n", "no JSON"),
        (b'"a"\t' + b"[" * 99999 + b"\n", "no JSON"),
        (b'"\xff"\t1\n', "no pair"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, output: bytes, words: str) -> None:
    found = judged(data(tmp_path), None, read_output(output))
    assert not found.right
    assert words in found.words


def test_of_a_hidden_input_only_right_or_wrong_is_told(tmp_path: Path) -> None:
    said = judged(data(tmp_path, hidden=True), None, read_output(b'"secret"\t1\n'))
    assert not said.right
    assert "secret" not in said.words + said.headline


def test_too_many_keys_are_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapreduce_output, "MOST_KEYS", 10)
    assert "more than 10 keys" in read_output(b"".join(b"%d\t1\n" % number for number in range(11))).fault


def test_a_predicate_gets_input_and_output(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text(
        "def judge(given, output):\n    return output['pairs'] == [['a', 2]], 'only a'\n"
    )
    judging = data(tmp_path, expected=None, predicates=tmp_path / "judge.py", predicate="judge")
    assert judged(judging, None, read_output(b'"a"\t2\n')).right
    assert "only a" in judged(judging, None, read_output(b'"b"\t2\n')).words
