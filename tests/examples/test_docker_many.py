"""Many at once in containers: sixteen workers of one run, ten runs on ten networks; afterwards all is as before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from support.docker import forget_image, unchanged
from support.hostile import COURSE, LINEAR
from support.runs import Finished, submit

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("default_base")]
SIXTEEN = 16
TEN = 10


def tiny(folder: Path, *, workers: int, rows: int) -> Path:
    """The smallest job there is: a linear model, one epoch."""
    course, source = folder / "course.toml", folder / "submission"
    text = COURSE.format(secret="", validation_rows=0).replace("memory_mb = 512", "memory_mb = 256")
    course.write_text(text.replace("workers = 2", f"workers = {workers}").replace("rows = 640", f"rows = {rows}"))
    source.mkdir()
    (source / "model.py").write_text(LINEAR)
    (source / "submission.toml").write_text('kind = "train"\n')
    return course


def test_sixteen_workers_at_once_finish(engine: docker.DockerClient, tmp_path: Path) -> None:
    """In a pool that has room for exactly these: each update waits for a gradient of every one."""
    course = tiny(tmp_path, workers=SIXTEEN, rows=SIXTEEN * 4 * 64)
    with unchanged(engine):
        done = submit(tmp_path / "submission", tmp_path / "run", "--sandbox", "docker", course=course)
    forget_image(engine, tmp_path / "run")

    assert done.code == 0, done.output
    workers = done.result["workers"]
    assert len(workers) == SIXTEEN and all(worker["steps"] == 4 for worker in workers)


def test_ten_runs_at_once_have_ten_networks(engine: docker.DockerClient, tmp_path: Path) -> None:
    course = tiny(tmp_path, workers=1, rows=640)

    def run(number: int) -> Finished:
        return submit(tmp_path / "submission", tmp_path / f"run-{number}", "--sandbox", "docker", course=course)

    with unchanged(engine), ThreadPoolExecutor(TEN) as pool:
        finished = list(pool.map(run, range(TEN)))
    for number in range(TEN):
        forget_image(engine, tmp_path / f"run-{number}")

    assert [one.code for one in finished] == [0] * TEN, [one.output for one in finished if one.code]
