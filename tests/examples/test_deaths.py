"""Each process of ours is killed before each of its fsyncs, renames, spawns and requests; each push ends exactly once.

The hook's points are in tests/contract/test_push.py, those of Jenkins' side with its stand-in.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.runs import COURSE, command
from support.submissions import START, submitted

from pipeline.errors import Outcome
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import create_course

WAIT_S = 120.0
KILLED = -signal.SIGKILL


class Deadly:
    """A course with one submission that is at fault: its run is as short as a run can be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.course: CourseFolder = create_course(folder / "course", COURSE)
        self.spool = Spool(self.course.spool)
        self.entry: Entry = submitted(folder / "repository", "mnist-small", {"model.py": "def build_model(:\n"})
        self.spool.add(self.entry)

    def dispatch(self, die_at: int, log: Path | None = None) -> int | None:
        """Until it is killed at its point, or the submission is over; its exit code in the first case."""
        variables = {"PIPELINE_DIE_AT": str(die_at), "PIPELINE_DIE_LOG": str(log or "")}
        process = subprocess.Popen(
            command("dispatch", self.course.folder, "--slots", "1"),
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + WAIT_S
        try:
            while process.poll() is None and self.spool.active():
                assert time.monotonic() < deadline, self.spool.active()
                time.sleep(0.05)
            if process.poll() is None:
                return None
            return process.returncode
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_S)


def ended_once(deadly: Deadly) -> None:
    (over,) = deadly.spool.over()
    assert (over.state, over.outcome, over.attempt) == (State.GRADED, Outcome.FAILED, 1)
    assert [one.name for one in deadly.course.builds.iterdir()] == [deadly.entry.id]
    record = json.loads((deadly.course.run(deadly.entry.id) / "record.json").read_text())
    assert (record["run"], record["outcome"]) == (deadly.entry.id, "failed")


@pytest.mark.slow
def test_a_dispatcher_that_dies_at_any_point_ends_each_push_once(tmp_path: Path) -> None:
    whole = Deadly(tmp_path / "whole")
    log = tmp_path / "points"
    assert whole.dispatch(0, log) is None
    ended_once(whole)
    points = len([line for line in log.read_text().splitlines() if line.split()[0] == log.read_text().split()[0]])
    print(f"the dispatcher passes {points} points")
    assert points >= 6
    deaths = 0
    for at in range(1, points + 1):
        deadly = Deadly(tmp_path / f"at-{at}")
        deaths += deadly.dispatch(at) == KILLED
        deadly.dispatch(0)
        ended_once(deadly)
    # a build that ends before it was looked at is noted less often, and the last point may come after the end seen here
    assert deaths >= points - 3


def run_once(folder: Path, repository: Path, commit: str, die_at: int, log: Path | None = None) -> tuple[int, str]:
    """`pipeline run` of a submission that its folder may hold already: exit code and output."""
    variables = {"PIPELINE_DIE_AT": str(die_at), "PIPELINE_DIE_LOG": str(log or "")}
    arguments = ["run", repository, "--ref", commit, "--course", COURSE, "--assignment", "mnist-small", "--id", "one"]
    done = subprocess.run(
        command(*arguments, "--out", folder, "--arrived", START.isoformat()),
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_dies_at_any_point_ends_once(tmp_path: Path) -> None:
    entry = submitted(tmp_path / "repository", "mnist-small", {"model.py": "def build_model(:\n"})
    repository, log = Path(entry.repository), tmp_path / "points"
    assert run_once(tmp_path / "whole", repository, entry.new, 0, log)[0] == 10
    points = len(log.read_text().splitlines())
    print(f"a run that fails its check passes {points} points")
    assert points >= 10
    expected = json.loads((tmp_path / "whole" / "result.json").read_text())
    # even points are renames, and before the fsync of each the same files are there; every second one, for time's sake
    for at in range(2, points + 1, 4):
        folder = tmp_path / f"at-{at}"
        assert run_once(folder, repository, entry.new, at)[0] == KILLED
        code, said = run_once(folder, repository, entry.new, 0)
        assert code == 10, said
        result = json.loads((folder / "result.json").read_text())
        assert [result[key] for key in ("run", "outcome", "points", "attempt", "submission")] == [
            expected[key] for key in ("run", "outcome", "points", "attempt", "submission")
        ]
