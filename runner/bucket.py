"""The run's own bucket: objects by key over one connection that is kept, with bounds and retries.

Nobody lists it: who waits for an object knows its key, and asks for it until it is there.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from runner.connection import connection
from runner.errors import NoAnswerError, TransferError
from runner.signing import Signer

TIMEOUT_S = 30.0
RETRY_S = 60.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.05, 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGER = 0.004, 0.25, 1.4
DELETED_AT_ONCE = 500
LARGEST = 256 << 20
Body = bytes | bytearray | memoryview


class LateError(Exception):
    """An object was not there in time; the text says which."""


class RetryError(Exception):
    """A fault that may be gone at the next attempt."""


class Bucket:
    """`endpoint` is the host:port at which this container sees the store. Times in seconds.

    `sent`, `received` and `requests` count what it did, `busy_s` the time in requests, `wait_s` that of waiting.
    """

    def __init__(self, endpoint: str, name: str, access_key: str, secret_key: str) -> None:
        self.name = name
        self.signer = Signer(endpoint, access_key, secret_key)
        self.connection = connection(urlsplit(f"http://{endpoint}"), TIMEOUT_S)
        self.requests = self.sent = self.received = 0
        self.busy_s = self.wait_s = 0.0

    def close(self) -> None:
        self.connection.close()

    def put(self, key: str, content: Body) -> None:
        self.ask("PUT", f"/{self.name}/{key}", content)
        self.sent += memoryview(content).nbytes

    def get(self, key: str, at_most: int = LARGEST) -> bytes | None:
        """None where there is no such object. Raises TransferError where it is larger."""
        content = self.ask("GET", f"/{self.name}/{key}", at_most=at_most)
        self.received += len(content or b"")
        return content

    def wait(self, key: str, until: float, at_most: int = LARGEST) -> bytes:
        """The object as soon as it is there. Raises LateError where it is not `until`, in seconds since the epoch."""
        began, busy, pause = time.monotonic(), self.busy_s, FIRST_PAUSE_S
        while True:
            asked = time.monotonic()
            content = self.get(key, at_most)
            if content is not None:
                self.wait_s += asked - began
                self.busy_s = busy + time.monotonic() - asked
                return content
            if time.time() + pause > until:
                raise LateError(key)
            time.sleep(pause)
            pause = min(LONGER * pause, LONGEST_PAUSE_S)

    def delete(self, keys: Sequence[str]) -> None:
        """Many in one request; what is not there is no fault."""
        for at in range(0, len(keys), DELETED_AT_ONCE):
            self.ask("POST", f"/{self.name}", listed(keys[at : at + DELETED_AT_ONCE]), also="delete")

    def ask(
        self, method: str, path: str, content: Body | None = None, *, at_most: int = LARGEST, also: str = ""
    ) -> bytes | None:
        """One request, repeated for a minute while the store is busy or away. Raises TransferError."""
        give_up, pause, began = time.monotonic() + RETRY_S, FIRST_RETRY_S, time.monotonic()
        while True:
            try:
                return self.once(method, path, content, at_most, also)
            except (RetryError, OSError, http.client.HTTPException) as error:
                self.connection.close()
                if time.monotonic() + pause > give_up:
                    reason = str(error) or type(error).__name__
                    raise NoAnswerError(f"the run's bucket: {method} {path}: {reason}") from None
            finally:
                self.busy_s += time.monotonic() - began
                began = time.monotonic()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY_S)

    def once(self, method: str, path: str, content: Body | None, at_most: int, also: str) -> bytes | None:
        headers = {"Host": self.signer.host}
        if also and content is not None:
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        self.requests += 1
        self.connection.request(method, self.signer.target(method, path, also), content, headers)
        response = self.connection.getresponse()
        if (response.length or 0) > at_most:
            self.connection.close()
            raise TransferError(f"the run's bucket: {path} has {response.length} bytes, at most {at_most} are read")
        body = response.read()
        if response.status < 300:
            return body
        if response.status == 404 and method == "GET":
            return None
        raise refused(response.status, method, path, body)


def refused(status: int, method: str, path: str, body: bytes) -> Exception:
    text = body[:300].decode(errors="replace")
    if "QuotaExceeded" in text:
        return TransferError("the run's bucket is full: a smaller model, or checkpoint_updates lower")
    if status >= 500 or status == 429:
        return RetryError(f"the store answered {status}")
    return NoAnswerError(f"the run's bucket: {method} {path}: the store answered {status}: {' '.join(text.split())}")


def listed(keys: Iterable[str]) -> bytes:
    """The body of DeleteObjects (S3's API). Keys are ours: digits, small letters, `-`, `.` and `/`."""
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
