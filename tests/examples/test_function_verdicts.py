"""A function that fails in every way: each case gets a clear verdict, and what is hidden stays so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.runs import Finished, submit

COURSE = Path(__file__).with_name("verdicts.toml")
FUNCTION = """
def main(params):
    does = params["does"]
    if does == "print":
        print("the input is", params)
        raise ValueError(params["secret"])
    if does == "crash":
        return {"answer": [][0]}
    while does == "hang":
        pass
    kept = []
    while does == "grow":
        kept.append(bytearray(2**20))
    if does == "large":
        return {"answer": "x" * 1_200_000}
    return {"answer": 42 if does == "right" else 41}
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    source = tmp_path_factory.mktemp("failing")
    (source / "main.py").write_text(FUNCTION)
    return submit(source, tmp_path_factory.mktemp("run") / "run", "--sandbox", "process", course=COURSE)


def test_each_case_says_what_became_of_it(failing: Finished) -> None:
    assert failing.code == 10, failing.output
    found = {check["name"]: check["detail"] for check in failing.result["checks"]}
    for name, words in {
        "right": 'answered {"answer": 42}',
        "wrong": 'answered {"answer": 41}, expected {"answer": 42}',
        "crash": "main.py, line 8: IndexError",
        "time": "time limit",
        "memory": "more memory than its action has",
        "large": "exceeded the allowed length",
        "hidden": "hidden case hidden: the function failed",
    }.items():
        assert words in found[name], found[name]
    assert [check["name"] for check in failing.result["checks"] if check["passed"]] == ["right"]
    assert failing.result["metrics"]["measures"]["correct"] == pytest.approx(1 / 7)


def test_how_far_the_cases_are_is_said_of_all_of_them_together(failing: Finished) -> None:
    assert "cases  0/7  running" in failing.output
    assert "cases  7/7  done" in failing.output
    assert "case  0/1" not in failing.output


def test_nothing_of_a_hidden_case_is_where_a_student_reads(failing: Finished) -> None:
    readable = [path for path in failing.folder.rglob("*") if path.is_file() and "private" not in path.parts]
    assert len(readable) > 10
    for path in readable:
        # the record keeps the course's settings, and is not given to students
        if path.name != "record.json":
            assert b"cucumber" not in path.read_bytes(), path
    assert "cucumber" not in failing.output
    assert "cucumber-4711" in (failing.folder / "private" / "logs" / "hidden.log").read_text()


def test_what_each_function_used_was_measured(failing: Finished) -> None:
    functions = {one["name"]: one for one in failing.result["workers"]}
    assert set(functions) == {"right", "wrong", "crash", "time", "memory", "large", "hidden"}
    assert functions["memory"]["peak_memory_mb"] > 100
    assert functions["time"]["cpu_s"] > 1
    assert "cpu_s" in functions["time"]["measured"]
    assert json.dumps(failing.result)
