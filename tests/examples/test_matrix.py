"""Matrices in blocks as whole runs: operands too large for a function, a worker that is, a block that is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from support.runs import EXAMPLES, Finished, submit

COURSE = """
name = "tests"
[[assignments]]
name = "blocks"
passed_from = 100
least_isolation = "none"
opens = ["block_size", "workers"]
job = {{ kind = "matrix", block_size = {block_size}, workers = 2 }}
data = {{ kind = "matrix", operation = "multiply", rows = {rows}, inner = {inner}, columns = 64 }}
limits = {{ memory_mb = 128, timeout_s = 60, seconds = 240 }}
[[assignments.checks]]
name = "error"
measure = "error"
at_most = 1e-5
points = 100
"""
FUNCTION_BYTES = 128 * 2**20
KEEPS = """
import numpy as np
kept = []
def worker(task, blocks):
    while len(kept) < 64:
        kept.append(np.ones(2**20))  # 8 MB
    return np.zeros(task["shape"], "f")
"""
ONE_WRONG = """
import numpy as np
def worker(task, blocks):
    block = sum(blocks["a", task["row"], k] @ blocks["b", k, task["column"]] for k in range(task["inner"]))
    if (task["row"], task["column"]) == (1, 0):
        block[3, 4] = np.nan
    return block
"""


def run(place: Path, *, worker: str = "", rows: int = 128, inner: int = 64, block_size: int = 32) -> Finished:
    """The example, or another worker, on an assignment of these sizes."""
    shutil.copytree(EXAMPLES / "matrix_multiply", place / "source")
    (place / "source" / "submission.toml").write_text('kind = "matrix"\n')
    if worker:
        (place / "source" / "matrix.py").write_text(worker)
    course = place / "course.toml"
    course.write_text(COURSE.format(rows=rows, inner=inner, block_size=block_size))
    return submit(place / "source", place / "run", "--sandbox", "process", course=course)


def test_operands_larger_than_a_function_pass_it_block_by_block(tmp_path: Path) -> None:
    rows, inner = 33_792, 1024
    assert rows * inner * 4 > FUNCTION_BYTES

    done = run(tmp_path, rows=rows, inner=inner, block_size=512)

    assert done.code == 0, done.output
    for worker in done.result["workers"]:
        assert worker["peak_memory_mb"] < 100
        assert worker["activations"] == 1


def test_a_worker_that_keeps_too_much_meets_its_limit(tmp_path: Path) -> None:
    done = run(tmp_path, worker=KEEPS)

    assert done.code == 11, done.output
    assert "worker-1: it used more memory than its action has" in done.output


def test_a_block_with_a_value_that_is_no_number_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, worker=ONE_WRONG)

    assert done.code == 10, done.output
    assert "block (1, 0) has 1 values that are no numbers, the first nan at [3, 4]" in json.dumps(done.result)
    assert "7 of 8 right" in done.result["headline"]
