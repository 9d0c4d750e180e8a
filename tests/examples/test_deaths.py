"""Each process of ours is killed before each of its fsyncs, renames, spawns and requests; each push ends exactly once.

The hook's points are in tests/contract/test_push.py, those of Jenkins' side with its stand-in.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.death_lanes import Lane, Loop, deaths_of_command, deaths_of_module, opened
from support.deaths import (
    EVERY,
    KILLED,
    Point,
    environment,
    of_each_kind,
    of_first,
    passed,
    without_repeated_polls,
)
from support.mortal_runs import Command, graded, left_running, shortest_course, training
from support.ready_process import ReadyProcess
from support.runs import COURSE, command
from support.submissions import submitted

from pipeline.errors import Outcome
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import create_course

WAIT_S = 600.0


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
        process = subprocess.Popen(
            command("dispatch", self.course.folder, "--slots", "1"),
            env=environment(die_at, log),
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
            process.terminate()
            process.wait(WAIT_S)


def ended_once(deadly: Deadly) -> None:
    (over,) = deadly.spool.over()
    assert (over.state, over.outcome, over.attempt) == (State.GRADED, Outcome.FAILED, 1)
    assert [one.name for one in deadly.course.builds.iterdir()] == [deadly.entry.id]
    record = json.loads((deadly.course.run(deadly.entry.id) / "record.json").read_text())
    assert (record["run"], record["outcome"]) == (deadly.entry.id, "failed")


@pytest.mark.slow
@pytest.mark.timeout(1800 if EVERY else 300)
def test_a_dispatcher_that_dies_at_any_point_ends_each_push_once(tmp_path: Path) -> None:
    whole = Deadly(tmp_path / "whole")
    log = tmp_path / "points"
    assert whole.dispatch(0, log) is None
    ended_once(whole)
    points = of_first(passed(log))
    tried = points[::EVERY] if EVERY else of_each_kind(points)
    print(f"the dispatcher: {len(points)} points, killed at {len(tried)}")
    assert {"spawn pipeline", "rename *.json"} <= {point.kind for point in points}
    deaths = 0
    for point in tried:
        deadly = Deadly(tmp_path / f"at-{point.number}")
        deaths += deadly.dispatch(point.number) == KILLED
        deadly.dispatch(0)
        ended_once(deadly)
    # a build that ends before it was looked at is noted less often, and the last point may come after the end seen here
    assert deaths >= len(tried) - 4


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadyProcess]:
    process = ReadyProcess(tmp_path_factory.mktemp("ready") / "output")
    yield process
    process.end()


def passed_by(run: Command, folder: Path, log: Path, code: int) -> tuple[list[Point], dict[str, object]]:
    assert run(folder, log=log)[0] == code
    points = without_repeated_polls(of_first(passed(log)))
    print(f"{run.entry.assignment}: {len(points)} points of {len(of_each_kind(points))} kinds")
    return points, graded(folder)


def die_everywhere(run: Command, points: list[Point], folder: Path, expected: dict[str, object]) -> None:
    """Each death in a run of its own, which then goes on to its end."""
    for point in points[::EVERY]:
        of_point = folder / f"at-{point.number}" / "whole"
        code, said = run(of_point, point.place)
        assert code == KILLED, (point, code, said)
        goes_on(run, of_point, expected)
        shutil.rmtree(of_point)


def die_on_the_way(run: Command, points: list[Point], folder: Path, expected: dict[str, object]) -> None:
    """One run that is killed again and again, once at each kind of point, and always goes on."""
    survived = [point.kind for point in points if run(folder, point.kind)[0] != KILLED]
    goes_on(run, folder, expected)
    assert survived == [], survived


def goes_on(run: Command, folder: Path, expected: dict[str, object]) -> None:
    _, said = run(folder)
    assert graded(folder) == expected, said
    assert not left_running(folder)


@pytest.mark.slow
@pytest.mark.timeout(7200 if EVERY else 900)
def test_a_run_that_fails_and_dies_at_any_point_ends_once(tmp_path: Path, ready: ReadyProcess) -> None:
    entry = submitted(tmp_path / "repository", "small", {"model.py": "def build_model(:\n"})
    run = Command(entry, shortest_course(tmp_path / "course"), ready)
    points, expected = passed_by(run, tmp_path / "whole", tmp_path / "points", 10)
    assert len(points) >= 10
    if EVERY:
        die_everywhere(run, points, tmp_path, expected)
    else:
        die_on_the_way(run, of_each_kind(points), tmp_path / "one", expected)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_trains_and_dies_at_each_kind_of_point_ends_once(tmp_path: Path, ready: ReadyProcess) -> None:
    """And one whose parameter server dies while it keeps what is learnt: infrastructure's fault, then a grade."""
    run = Command(training(tmp_path / "repository"), shortest_course(tmp_path / "course"), ready)
    points, expected = passed_by(run, tmp_path / "whole", tmp_path / "points", 0)
    kinds = of_each_kind(points)
    names = {point.kind for point in kinds}
    assert {"spawn git", "spawn pipeline.embedded", "spawn pipeline.training.server"} < names
    assert {"request HEAD /course", "request PUT /api/v1/namespaces/_/actions/*"} < names
    asks = [point for point in kinds if not point.kind.startswith("rename")]  # a failing run dies at the renames
    die_on_the_way(run, asks, tmp_path / "one", expected)
    code, said = run(tmp_path / "without-server", "pipeline.training.server:request PUT /course/*/initial.safetensors")
    assert code == Outcome.INFRASTRUCTURE.exit_code, said
    goes_on(run, tmp_path / "without-server", expected)


if EVERY:  # they take long, and are none of those that are skipped

    @pytest.fixture(scope="module")
    def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
        with opened(tmp_path_factory.mktemp("lanes")) as made:
            yield made

    @pytest.mark.timeout(6 * 3600)
    @pytest.mark.parametrize("module", ["pipeline.embedded", "pipeline.training.server"])
    def test_a_run_whose_server_dies_at_any_point_ends_once(lanes: list[Lane], module: str) -> None:
        """It ends as infrastructure's fault, or is over by then; the next one goes on."""
        loop, points = Loop(lanes), deaths_of_module(lanes[0], module)
        print(f"{module}: {len(points)} points")
        assert points
        loop.through(points[::EVERY])
        assert loop.failed == []
        # the servers write down by the clock what a kill would lose
        assert len(loop.missed) <= len(points) // 10

    @pytest.mark.timeout(6 * 3600)
    def test_a_run_that_trains_and_dies_at_any_point_ends_once(lanes: list[Lane]) -> None:
        loop, deaths = Loop(lanes), deaths_of_command(lanes[0], without_repeated_polls)
        print(f"a run that trains: {len(deaths)} points in nine stages")
        loop.through(deaths[::EVERY])
        assert loop.failed == []
        # how often progress is asked for and written down is the clock's affair
        assert [one for one in loop.missed if not one.point.is_poll and one.point.nth == 1] == []
        assert len(loop.missed) <= len(deaths) // 10
