"""Code actions that are at fault, told so in words, and kinds that there are not; in plain processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from frame.processes import Processes
from support.code_actions import call, create, zipped
from support.openwhisk import RUNNER, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    processes = Processes()
    server = Server(processes, tmp_path_factory.mktemp("state"), {"python:3": RUNNER})
    yield server
    server.stop()
    processes.end()


@pytest.mark.parametrize(
    ("code", "main", "status", "says"),
    [
        ("def main(params):\n    return 1 / 0\n", "main", "application error", "main.py, line 2: ZeroDivisionError"),
        ("import sys\ndef main(params):\n    sys.exit(3)\n", "main", "application error", "SystemExit: 3"),
        ("def main(params):\n    return {'error': 'no'}\n", "main", "application error", "no"),
        ("def main(params):\n    return 7\n", "main", "action developer error", "did not return a dictionary or array"),
        ("def main(params):\n    return {1j: set()}\n", "main", "application error", "cannot be written as JSON"),
        ("def main(params)\n    return {}\n", "main", "action developer error", "main.py, line 1: SyntaxError"),
        ("import nothing_there\n", "main", "action developer error", "No module named 'nothing_there'"),
        ("def main(params):\n    return {}\n", "other", "action developer error", "there is no function other(params)"),
        (zipped({"a.py": ""}), "main", "action developer error", "there is no __main__.py and no main.py"),
        (zipped({"../a.py": ""}), "main", "action developer error", "is no name inside"),
        ("AAAA", "main", "action developer error", "the archive is damaged"),
        ("import os\ndef main(params):\n    os._exit(1)\n", "main", "action developer error", "exited unexpectedly"),
    ],
)
def test_faults_are_the_developers_in_words(server: Server, code: str, main: str, status: str, says: str) -> None:
    create(server, code, "python:3", main=main)
    assert (found := call(server))[0] == status
    assert says in found[1]["error"]
    assert "Traceback" not in found[1]["error"]


@pytest.mark.parametrize("kind", ["nodejs:default", "nodejs:20", "sequence", "go:default", "python:2", "java:8"])
def test_other_kinds_are_refused_as_unknown(server: Server, kind: str) -> None:
    execution = {"kind": kind, "code": "x", "components": ["/_/a", "/_/b"]}
    refused = server.ask("PUT", "actions/other", {"exec": execution})
    assert refused.status_code == 400
    assert refused.json()["error"] == (
        f"The request content was malformed:\nThe specified runtime '{kind}' is not supported by this platform. "
        "Valid values are: 'python:3', 'python:3.x', 'blackbox'."
    )
    assert server.ask("GET", "actions/other").status_code == 404
