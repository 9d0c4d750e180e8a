"""Many at once in containers: sixteen workers of one run, ten runs on ten networks; afterwards all is as before."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from support.docker import forget_image, unchanged
from support.hostile import COURSE, LINEAR
from support.runs import EXAMPLES, ROOT, Finished, submit

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("default_base")]
SIXTEEN = 16
TEN = 10


def training(folder: Path) -> Path:
    """The smallest training that needs all its workers: a linear model, one epoch."""
    course, source = folder / "course.toml", folder / "submission"
    text = COURSE.format(secret="", validation_rows=0).replace("memory_mb = 512", "memory_mb = 256")
    course.write_text(
        text.replace("workers = 2", f"workers = {SIXTEEN}").replace("rows = 640", f"rows = {SIXTEEN * 256}")
    )
    source.mkdir()
    (source / "model.py").write_text(LINEAR)
    (source / "submission.toml").write_text('kind = "train"\n')
    return course


def counting(folder: Path) -> Path:
    """The smallest job whose containers reach the forwarder of their run: one mapper, one reducer, and no torch."""
    shutil.copytree(EXAMPLES / "word_count", folder / "submission", ignore=shutil.ignore_patterns("__pycache__"))
    settings = 'kind = "mapreduce"\nassignment = "words"\nmappers = 1\nreducers = 1\n'
    (folder / "submission" / "submission.toml").write_text(settings)
    (folder / "lines.txt").write_text("cucumber and pepper\n" * 10)
    (folder / "expected.json").write_text(json.dumps({"cucumber": 10}))
    return Path(shutil.copy(ROOT / "tests" / "examples" / "mapreduce.toml", folder / "course.toml"))


def test_sixteen_workers_at_once_finish(engine: docker.DockerClient, tmp_path: Path) -> None:
    """In a pool that has room for exactly these: each update waits for a gradient of every one."""
    course = training(tmp_path)
    with unchanged(engine):
        done = submit(tmp_path / "submission", tmp_path / "run", "--sandbox", "docker", course=course)
    forget_image(engine, tmp_path / "run")

    assert done.code == 0, done.output
    workers = done.result["workers"]
    assert len(workers) == SIXTEEN and all(worker["steps"] == 4 for worker in workers)


def test_ten_runs_at_once_have_ten_networks(engine: docker.DockerClient, tmp_path: Path) -> None:
    course = counting(tmp_path)

    def run(number: int) -> Finished:
        return submit(tmp_path / "submission", tmp_path / f"run-{number}", "--sandbox", "docker", course=course)

    with unchanged(engine), ThreadPoolExecutor(TEN) as pool:
        finished = list(pool.map(run, range(TEN)))
    for number in range(TEN):
        forget_image(engine, tmp_path / f"run-{number}")

    assert [one.code for one in finished] == [0] * TEN, [one.output for one in finished if one.code]
