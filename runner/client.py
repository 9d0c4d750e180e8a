"""The worker's connection to the parameter server: one, kept alive, with Content-Length and bounded retries.

Requests may be repeated: a push carries its sequence, so that the server takes it once (docs/parameter-server.md).
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runner.connection import connection
from runner.errors import RunnerError

BINARY = "application/octet-stream"
TIMEOUT_S = 30.0
RETRY_S = 60.0
LEAVE_S = 3.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0
MAX_JSON = 1 << 20
Buffer = bytes | bytearray | memoryview


class ServerError(RunnerError):
    """The parameter server cannot be reached, or refuses what this worker asks."""

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class UnreachableError(ServerError):
    """The parameter server did not answer, however often it was asked."""

    infrastructure = True


class RetryError(Exception):
    """An answer that may be another one soon."""


@dataclass(frozen=True)
class Reply:
    """An answer. `fresh` says that the parameters' buffer was filled; `wait_for` that a newer version is to come."""

    status: int
    version: int
    fresh: bool
    waited_s: float
    wait_for: int | None
    finished: bool
    global_step: int
    value: dict[str, Any]


class Client:
    """`identity` is given by registerWorker and goes with each request after it. Times in seconds."""

    def __init__(self, apihost: str, token: str) -> None:
        self.address = apihost
        self.connection = connection(urlsplit(apihost), TIMEOUT_S)
        self.identity: dict[str, str] = {"Authorization": f"Bearer {token}"} if token else {}

    def close(self) -> None:
        self.connection.close()

    def register(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The server's answer: id, session, shard and where it stands. A place that is taken is asked for again."""
        answer = self.ask("POST", "/registerWorker", json.dumps(asked).encode(), retried=("taken", "full")).value
        self.identity |= {"Worker-Id": str(answer["id"]), "Worker-Session": str(answer["session"])}
        return answer

    def unregister(self, *, returning: bool) -> None:
        who = {"id": self.identity["Worker-Id"], "session": self.identity["Worker-Session"], "returning": returning}
        self.ask("POST", "/unregisterWorker", json.dumps(who).encode(), give_up_s=LEAVE_S)

    def upload(self, schema: bytes, body: Buffer) -> None:
        """Schema and initial values, from each worker that comes before there are any; the server keeps the first."""
        headers = {"Content-Type": BINARY, "Schema-Bytes": str(len(schema))}
        self.ask("POST", "/putParameters", schema + bytes(body), headers)

    def renew(self) -> None:
        """Tells the server that this worker is alive, between two pushes that lie far apart."""
        self.ask("GET", "/getVersion")

    def pull(self, into: memoryview, *, min_version: int, timeout_s: float) -> Reply:
        """The parameters when there is `min_version`; a reply with `wait_for` when it did not come in time."""
        target = f"/getParameter?min_version={min_version}&timeout_s={timeout_s:.3f}"
        return self.ask("GET", target, into=into, patience_s=timeout_s)

    def push(self, body: Buffer, headers: Mapping[str, str], into: memoryview, *, timeout_s: float) -> Reply:
        """A gradient; the answer brings the new parameters when there are any."""
        told = {"Content-Type": BINARY, "Accept": BINARY, "Wait-Seconds": f"{timeout_s:.3f}", **headers}
        return self.ask("POST", "/putGradient", body, told, into=into, patience_s=timeout_s)

    def ask(
        self,
        method: str,
        target: str,
        body: Buffer | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        into: memoryview | None = None,
        patience_s: float = 0.0,
        retried: tuple[str, ...] = (),
        give_up_s: float = RETRY_S,
    ) -> Reply:
        """One request, repeated for `give_up_s` while the server is busy or away. Raises ServerError."""
        give_up, pause = time.monotonic() + give_up_s, FIRST_WAIT_S
        while True:
            try:
                return self.once(method, target, body, {**self.identity, **(headers or {})}, into, patience_s, retried)
            except (RetryError, OSError, http.client.HTTPException) as error:
                self.connection.close()
                if time.monotonic() + pause > give_up:
                    reason = str(error) or type(error).__name__
                    where = f"parameter server {self.address}: {target.split('?')[0]}"
                    raise UnreachableError(f"{where}: {reason}") from None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_WAIT_S)

    def once(
        self,
        method: str,
        target: str,
        body: Buffer | None,
        headers: Mapping[str, str],
        into: memoryview | None,
        patience_s: float,
        retried: tuple[str, ...],
    ) -> Reply:
        self.connection.timeout = TIMEOUT_S + patience_s
        self.connection.request(method, target, body, dict(headers))
        response = self.connection.getresponse()
        fresh = response.status in (200, 201) and response.headers.get("Content-Type") == BINARY
        if fresh and into is not None:
            fill(response, into)
            return read_reply(response, {}, fresh=True)
        value = read_json(response)
        if response.status < 400:
            return read_reply(response, value, fresh=False)
        message, reason = str(value.get("msg", "no message"))[:300], str(value.get("reason", ""))
        if response.status in (429, 500, 502, 503, 504) or reason in retried:
            raise RetryError(f"it answered {response.status}: {message}")
        raise ServerError(f"parameter server: {message}", response.status, reason)


def fill(response: http.client.HTTPResponse, into: memoryview) -> None:
    """Reads the parameters to where they are used. Raises ServerError when they are not as many as the model has."""
    if response.length != len(into):
        raise ServerError(f"parameter server: {response.length} bytes of parameters, this model has {len(into)}")
    at = 0
    while at < len(into):
        count = response.readinto(into[at:])
        if not count:
            raise RetryError("the connection ended early")
        at += count
    response.read()


def read_json(response: http.client.HTTPResponse) -> dict[str, Any]:
    content = response.read(MAX_JSON)
    try:
        value = json.loads(content) if content else {}
    except ValueError:
        value = {}
    return value if isinstance(value, dict) else {}


def read_reply(response: http.client.HTTPResponse, value: dict[str, Any], *, fresh: bool) -> Reply:
    told = response.headers
    wait_for = told.get("Wait-For-Version")
    return Reply(
        status=response.status,
        version=int(told.get("Parameter-Version", -1)),
        fresh=fresh,
        waited_s=float(told.get("Waited-Seconds", 0)),
        wait_for=None if wait_for is None else int(wait_for),
        finished=told.get("Finished") == "1",
        global_step=int(told.get("Global-Step", 0)),
        value=value,
    )
