"""The coordinator's side of the control socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from pipeline.errors import InfrastructureError

TIMEOUT_S = 60.0


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("parameter-server", timeout=TIMEOUT_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class ControlClient:
    """Each call raises InfrastructureError where the parameter server does not answer or refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def status(self, losses_since: int = -1) -> dict[str, Any]:
        return self.call("GET", f"/control/status?losses_since={losses_since}")

    def score(self, accuracy: float, version: int) -> None:
        """Tells workers the course's last score."""
        self.call("POST", "/control/score", {"accuracy": accuracy, "version": version})

    def lost(self, *, worker: str | None = None, shard: int | None = None) -> list[str]:
        """Says that a worker's process has ended; the ids that were removed."""
        removed: list[str] = self.call("POST", "/control/lost", {"worker": worker, "shard": shard})["removed"]
        return removed

    def absent(self, shard: int) -> None:
        """Says that nobody comes for a shard for now: barriers go on without it."""
        self.call("POST", "/control/absent", {"shard": shard})

    def checkpoint(self) -> int:
        """Keeps a checkpoint now; its version, which is durable."""
        return int(self.call("POST", "/control/checkpoint", {})["version"])

    def finish(self) -> int:
        """Ends the training; the version of the final parameters, which are durable."""
        return int(self.call("POST", "/control/finish", {})["version"])

    def call(self, method: str, target: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = UnixConnection(self.path)
        try:
            body = None if value is None else json.dumps(value)
            connection.request(method, target, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise InfrastructureError(
                f"the parameter server does not answer on {self.path}: {error}", hint="`pipeline resume` starts it anew"
            ) from error
        finally:
            connection.close()
        if response.status != 200:
            raise InfrastructureError(f"the parameter server refused {target}: {answer.get('msg')}")
        return answer
