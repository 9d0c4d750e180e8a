"""Starts the embedded OpenWhisk for a test, and asks it things."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from frame.processes import Processes

TESTS = Path(__file__).resolve().parents[1]
ACTION = [sys.executable, "-u", str(TESTS / "support" / "action_server.py")]
RUNNER = [
    *(sys.executable, "-u", "-c"),
    "import ctypes,runpy,sys;ctypes.CDLL(None).prctl(1,9);sys.path.insert(0,sys.argv[1]);"
    "runpy.run_module('runner',run_name='__main__')",
    str(TESTS.parent),
]
"""The runner that every image has, on the port in PORT; it ends with the server that started it."""
IMAGES: Mapping[str, Sequence[str]] = {"action:1": ACTION, "python:3": ACTION}


@dataclass(frozen=True)
class Sandbox:
    """What actions run in, instead of plain processes: its name, and manifests of references as JSON."""

    name: str
    manifests: Mapping[str, dict[str, Any]]


class Server:
    """A running server; `state` may be served again after `kill` or `stop`."""

    def __init__(
        self,
        processes: Processes,
        state: Path,
        images: Mapping[str, Sequence[str]] = IMAGES,
        sandbox: Sandbox | None = None,
        **settings: Any,
    ) -> None:
        self.process = processes.start(
            [sys.executable, "-m", "support.openwhisk_server", str(state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS.parent,
            env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        contained = {"sandbox": sandbox.name, "manifests": sandbox.manifests} if sandbox else {}
        self.process.stdin.write(json.dumps({"settings": settings, "images": images, **contained}))
        self.process.stdin.close()
        ready = json.loads(self.process.stdout.readline())
        self.apihost = f"http://127.0.0.1:{ready['port']}"
        self.auth, self.capped = ready["auth"], ready["capped"]

    def ask(self, method: str, path: str, body: Any = None, *, auth: str | None = None) -> requests.Response:
        user, _, key = (auth or self.auth).partition(":")
        url = f"{self.apihost}/api/v1/namespaces/_/{path}"
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        return requests.request(method, url, data=data, headers=headers, auth=(user, key), timeout=120)

    def anybody(self, method: str, path: str, **more: Any) -> requests.Response:
        """A request below /api/v1 without a key."""
        return requests.request(method, f"{self.apihost}/api/v1/{path}", timeout=120, **more)

    def put(self, name: str = "a", image: str = "action:1", **more: Any) -> dict[str, Any]:
        auth = more.pop("auth", None)
        answer = self.ask(
            "PUT",
            f"actions/{name}?overwrite=true",
            {"exec": {"kind": "blackbox", "image": image}, **more},
            auth=auth,
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def call(self, arguments: Any = None, name: str = "a") -> requests.Response:
        """A blocking invocation; the answer is the activation's record."""
        return self.ask("POST", f"actions/{name}?blocking=true", arguments or {})

    def start(self, arguments: Any = None, name: str = "a") -> str:
        """An invocation that is not waited for; its id."""
        answer = self.ask("POST", f"actions/{name}", arguments or {})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["activationId"])

    def record(self, activation: str, within_s: float = 60) -> dict[str, Any]:
        """The record, as soon as there is one."""
        until = time.monotonic() + within_s
        while (answer := self.ask("GET", f"activations/{activation}")).status_code == 404:
            assert time.monotonic() < until, f"no record of {activation} within {within_s} s"
            time.sleep(0.05)
        found: dict[str, Any] = answer.json()
        return found

    def pool(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{self.apihost}/pool", timeout=30).json()
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def ask_noted(server: Server, note: dict[str, Any], **changes: Any) -> requests.Response:
    """A request out of the notes; `changes` go into its body."""
    path = note["path"].removeprefix("/api/v1/namespaces/_/")
    body = json.dumps({**json.loads(note["body"]), **changes}) if changes else note["body"]
    return server.ask(note["method"], path, body)
