"""Where a real OpenWhisk is at fault: kills for memory called so, crashes answered at once, nothing started in vain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from frame.processes import Processes
from support.action_sandboxes import SANDBOXES, sandbox_of
from support.openwhisk import IMAGES, Server

HOG = (
    "import os\n\n\ndef main(params):\n"
    "    held = bytearray(os.urandom(1 << 20)) * 400\n    return {'held': len(held)}\n"
)
CHILD = (
    "import subprocess, sys\n\n\ndef main(params):\n"
    "    code = 'import os; held = bytearray(os.urandom(1 << 20)) * 400; print(len(held))'\n"
    "    done = subprocess.run([sys.executable, '-c', code])\n    return {'code': done.returncode}\n"
)
CRASH = "import os\n\n\ndef main(params):\n    print('last words', flush=True)\n    os._exit(3)\n"
SLEEP = "import time\n\n\ndef main(params):\n    print('asleep', flush=True)\n    time.sleep(600)\n"
FINE = "def main(params):\n    return {'fine': True}\n"
REAL_ONE_LATE_MS = 10_000
"""The recorded server answers a crash after 12 s."""
LATE_MS = 9_000


@pytest.fixture(scope="module", params=SANDBOXES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    processes = Processes()
    with sandbox_of(request.param, request) as sandbox:
        server = Server(processes, tmp_path_factory.mktemp("state"), IMAGES, sandbox)
        yield server
        server.stop()
        processes.end()


def create(server: Server, code: str, **limits: int) -> None:
    server.ask("DELETE", "actions/a")
    body = {"exec": {"kind": "python:3", "code": code}, "limits": {"memory": 128, "timeout": 30_000, **limits}}
    assert server.ask("PUT", "actions/a", body).status_code == 200


def response(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.call().json()["response"]
    return found


def test_nothing_starts_when_an_action_is_only_created(server: Server) -> None:
    create(server, FINE)
    time.sleep(0.5)
    assert server.pool()["containers"] == 0


@pytest.mark.parametrize("code", [HOG, CHILD], ids=["itself", "a child that its parent survives"])
def test_a_kill_for_memory_is_called_so(server: Server, code: str) -> None:
    create(server, code)
    found = response(server)
    assert (found["status"], found["result"]) == (
        "action developer error",
        {"error": "The action exhausted its memory and was aborted."},
    )
    create(server, FINE)
    assert response(server)["result"] == {"fine": True}


def test_a_crash_is_answered_at_once_with_its_last_words(server: Server) -> None:
    create(server, CRASH)
    answer = server.call().json()
    # as the server counts it, from when there is a container
    assert answer["duration"] < REAL_ONE_LATE_MS
    assert answer["response"]["result"] == {
        "error": "The action did not produce a valid response and exited unexpectedly."
    }
    logs = [line[31:] for line in server.record(answer["activationId"])["logs"]]
    assert logs == [
        "stdout: last words",
        "stderr: The action did not initialize or run as expected. Log data might be missing.",
    ]


def test_a_late_action_is_answered_when_its_time_is_over(server: Server) -> None:
    """A blocking call that is not answered in 60 s has no response. /init has as much time, and needs it."""
    create(server, SLEEP, timeout=LATE_MS)
    answer = server.call().json()
    error = f"The action exceeded its time limits of {LATE_MS} milliseconds."
    assert answer["response"]["result"] == {"error": error}
    assert {"key": "timeout", "value": True} in answer["annotations"]
    assert "stdout: asleep" in server.record(answer["activationId"])["logs"][0]
