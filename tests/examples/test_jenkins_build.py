"""A real submission in builds of the real Jenkinsfile: stopped in mid-training, built again, built once more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.jenkinsfile import Agent, Build, agent, require, stop
from support.runs import COURSE, EXAMPLES, LONGER

ID = "feedc0de" * 4


def pushed(folder: Path) -> tuple[Path, str]:
    """A bare repository as a student has pushed to it, and the commit."""
    work, bare = folder / "work", folder / "ada.git"
    shutil.copytree(EXAMPLES / "mnist_train", work)
    with (work / "submission.toml").open("a") as settings:
        settings.write(LONGER)
    own = ["-c", "user.name=ada", "-c", "user.email=ada@example.com", "-c", "core.hooksPath=/dev/null"]
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "first"],
        ["clone", "-q", "--bare", ".", str(bare)],
    ):
        subprocess.run(["git", *own, *arguments], cwd=work, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=work, check=True, capture_output=True, text=True)
    return bare, head.stdout.strip()


@pytest.fixture
def home(tmp_path: Path) -> Agent:
    """An agent with the course of the tests, and the caches of this user."""
    kept = {name: os.environ[name] for name in ("UV_FIND_LINKS", "UV_INDEX_URL") if name in os.environ}
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    made = agent(tmp_path, XDG_CACHE_HOME=cache, **kept)
    course = Path(made.environment["PIPELINE_COURSES"]) / "tests" / "course.toml"
    course.parent.mkdir()
    shutil.copyfile(COURSE, course)
    return made


@pytest.mark.slow
def test_a_build_stopped_in_mid_training_is_gone_on_with_and_counts_once(tmp_path: Path, home: Agent) -> None:
    require()
    repository, commit = pushed(tmp_path)
    parameters = {
        "SUBMISSION_ID": ID,
        "COURSE": "tests",
        "ASSIGNMENT": "mnist-small",
        "STUDENT": "ada",
        "REPOSITORY": str(repository),
        "COMMIT": commit,
        "ARRIVED": "2026-08-01T12:15:00+02:00",
        "ATTEMPT": "1",
    }
    builds = [Build(tmp_path / f"build-{number}", parameters, [home], number=number) for number in (1, 2, 3)]
    run = Path(home.environment["PIPELINE_RUNS"]) / ID
    try:
        builds[0].start()
        until_training(run, builds[0])
        builds[0].ask("abort")
        stopped = builds[0].wait()
        assert (stopped.result, stopped.stages["execute"]) == ("ABORTED", "ABORTED"), stopped.console
        assert "report/report.html" in stopped.state["published"]["archived"]
        built_before = fetched_at(run)
        again = builds[1].run()
        assert again.result == "SUCCESS", again.console
        assert set(again.stages.values()) == {"SUCCESS"}
        assert again.state["displayName"] == "#2 ada 100 of 100 points"
        assert fetched_at(run) == built_before
        graded = (run / "record.json").read_bytes()
        once_more = builds[2].run()
        assert once_more.result == "SUCCESS", once_more.console
        assert (run / "record.json").read_bytes() == graded
    finally:
        for build in builds:
            if build.process is not None:
                stop(build.process, [build])
    record = json.loads(graded)
    assert (record["run"], record["request"]["attempt"], record["outcome"]) == (ID, 1, "passed")
    assert not (run / "servers.json").exists()


def until_training(run: Path, build: Build) -> None:
    """The first checkpoint is there."""
    deadline = time.monotonic() + 180
    while not list((run / "private" / "servers").rglob("checkpoint-*.safetensors")):
        assert time.monotonic() < deadline, build.console
        time.sleep(0.1)


def fetched_at(run: Path) -> int:
    return (run / "source").stat().st_mtime_ns
