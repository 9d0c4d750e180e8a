"""The frame of the tests itself: skips are compared with the list, the world is out of reach, nothing stays running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
import uuid

import psutil
import pytest
from frame.network import WorldTouched
from frame.processes import Processes, end_leftovers
from frame.skips import Allowed, Skips
from frame.suites import place, suite_of

ALLOWED = Allowed(test="tests/live/test_gpu.py::*", says="no GPU", why="CI has none")


def skipped(test: str, reason: str) -> Skips:
    skips = Skips()
    skips.found[test] = reason
    return skips


def test_a_listed_skip_is_no_fault() -> None:
    assert skipped("tests/live/test_gpu.py::test_a", "no GPU here").faults([ALLOWED]) == []


@pytest.mark.parametrize(
    ("test", "reason"), [("tests/live/test_gpu.py::test_a", "no torch"), ("tests/unit/test_a.py::test_a", "no GPU")]
)
def test_another_test_or_reason_is_one_and_so_is_the_unused_entry(test: str, reason: str) -> None:
    faults = skipped(test, reason).faults([ALLOWED])
    assert len(faults) == 2
    assert f"{test}: {reason}" in faults[0]
    assert ALLOWED.test in faults[1]


def test_what_was_not_run_ends_with_one_command() -> None:
    skips = skipped("tests/live/test_a.py::test_a", "needs bubblewrap")
    skips.found["tests/live/test_a.py::test_b"] = "needs bubblewrap"
    assert skips.lines()[0] == "2 tests: needs bubblewrap"
    assert ".ci/run" in skips.lines()[-1]
    assert Skips().lines() == []


def test_the_cheapest_suite_comes_first() -> None:
    tests = ["tests/live/a.py::a", "tests/examples/b.py::b", "tests/unit/deep/c.py::c"]
    assert [suite_of(test) for test in sorted(tests, key=place)] == ["unit", "examples", "live"]


def test_a_unit_test_cannot_leave_this_machine() -> None:
    with socket.socket() as outside, pytest.raises(WorldTouched):
        outside.connect(("192.0.2.1", 80))
    with pytest.raises(WorldTouched):
        urllib.request.urlopen("http://example.invalid/")


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_the_users_settings_and_cache_are_not_those_of_a_unit_test(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert not [name for name in os.environ if name.startswith("PIPELINE_")]
    assert os.environ["XDG_CACHE_HOME"].startswith(str(tmp_path_factory.getbasetemp()))


def test_processes_end_with_their_test() -> None:
    processes = Processes()
    started = processes.start([sys.executable, "-c", "import time; time.sleep(600)"])
    processes.end()
    assert started.returncode is not None


def test_what_was_left_running_is_named_and_ended() -> None:
    value = uuid.uuid4().hex
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, env=os.environ | {"LEFT_BY": value}, stdout=subprocess.PIPE) as left:
        (named,) = end_leftovers("LEFT_BY", value, patience_s=0.1)
        assert str(left.pid) in named and "time.sleep(600)" in named
        assert not psutil.pid_exists(left.pid)
    assert end_leftovers("LEFT_BY", value) == []
