"""The REST client with the embedded server: the contract of functions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from frame.processes import Processes
from support.openwhisk import Server

from pipeline.backends.functions import Action, ActionLimits, Activation, Functions
from pipeline.backends.functions.openwhisk import OpenWhiskClient
from pipeline.errors import CourseError, InfrastructureError

LIMITS = ActionLimits(memory_mb=128, timeout_s=2, logs_mb=1)
PATIENCE_S = 60


@pytest.fixture
def functions(tmp_path: Path, processes: Processes) -> Iterator[Functions]:
    server = Server(processes, tmp_path / "state")
    yield OpenWhiskClient(server.apihost, server.auth)
    server.stop()


def ended(functions: Functions, activation: str) -> Activation:
    until = time.monotonic() + PATIENCE_S
    while (found := functions.activation(activation)) is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_an_action_lives_and_answers(functions: Functions) -> None:
    assert functions.server_limits()["max_action_memory"] == 512 * 2**20
    functions.put_action(Action("a", "action:1", LIMITS, {"bound": [1]}))
    activation = functions.invoke("a", {"lines": 1})
    found = ended(functions, activation)
    assert (found.id, found.action, found.success, found.status) == (activation, "a", True, "success")
    assert found.result["arguments"] == {"bound": [1], "lines": 1}
    assert found.init_s is not None
    assert found.start <= found.end <= time.time() + 1
    assert functions.logs(activation) == found.logs
    assert len(found.logs) == 2
    functions.delete_action("a")
    functions.delete_action("a")
    with pytest.raises(InfrastructureError, match="does not exist"):
        functions.invoke("a", {})


def test_failures_are_told_apart(functions: Functions) -> None:
    functions.put_action(Action("a", "action:1", LIMITS))
    late = ended(functions, functions.invoke("a", {"do": "sleep", "seconds": 60}))
    assert (late.timed_out, late.status) == (True, "action developer error")
    failed = ended(functions, functions.invoke("a", {"do": "fail"}))
    assert (failed.timed_out, failed.status, failed.result) == (False, "application error", {"error": "as asked"})


def test_what_the_server_does_not_allow_is_the_courses_fault(functions: Functions) -> None:
    with pytest.raises(CourseError, match="exceeds allowed threshold of 512 MB"):
        functions.put_action(Action("a", "action:1", ActionLimits(1024, 60, 10)))
    stranger = OpenWhiskClient(functions._host, "not:akey")  # type: ignore[attr-defined]
    with pytest.raises(CourseError, match="authentication is invalid"):
        stranger.put_action(Action("a", "action:1", LIMITS))
