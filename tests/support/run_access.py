"""Two runs with their servers on either store, and the ways in which a container comes to a run's forwarder."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import urllib3
from minio import Minio
from minio.credentials import Credentials
from minio.signer import presign_v4, sign_v4_s3

from pipeline.backends.servers import ForwarderRequest
from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.backends.store import Key
from pipeline.embedded.contract import Service
from pipeline.embedded.docker.gateway import Gateway
from pipeline.embedded.sandbox import relay
from pipeline.run import Record, Request, Run, new_run_id
from pipeline.settings import Course, Sandbox, Servers
from support.loops import BackgroundLoop

UNSIGNED = "UNSIGNED-PAYLOAD"
HOUR = timedelta(hours=1)
MB = 2**20
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def servers_of(folder: Path, servers: Servers, course: str = "contract") -> EmbeddedServers:
    """The servers of a new run of a course."""
    settings = Course(name=course, assignments=(), servers=servers)
    request = Request(source="nowhere", sandbox=Sandbox.PROCESS)
    record = Record(run=new_run_id(), request=request, course=settings, settings_sha256="", created=NOW)
    return EmbeddedServers(Run.create(folder, record))


def lab(**changes: object) -> ForwarderRequest:
    """A forwarder for student code that uses the run's bucket."""
    request = ForwarderRequest(
        name=f"lab-{uuid.uuid4().hex[:12]}",
        store="run",
        allowed=(),
        exact=False,
        requests=1000,
        bytes_total=1000 * MB,
        bytes_sent=500 * MB,
        own_bucket=True,
        stored_bytes=100 * MB,
    )
    return replace(request, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Answered:
    status: int
    body: bytes

    @property
    def code(self) -> str:
        """S3's, of an error."""
        return ElementTree.fromstring(self.body).findtext("Code") or "" if self.body else ""


@dataclass(frozen=True)
class Access:
    """What student code is given: an address, a key, a bucket."""

    address: str
    key: Key
    bucket: str

    @property
    def client(self) -> Minio:
        """As the course's labs make it, but for the tries: a refusal is to be seen at once."""
        pair = (self.key.access_key, self.key.secret_key)
        return Minio(self.address, *pair, secure=False, http_client=urllib3.PoolManager(retries=False, timeout=60))

    def signed(self, method: str, path: str) -> str:
        """Path and query of a URL whose signature holds for this very path, whatever is in it."""
        url = urlsplit(f"http://{self.address}{path}")
        credentials = Credentials(self.key.access_key, self.key.secret_key)
        made = presign_v4(
            method=method, url=url, region="us-east-1", credentials=credentials, date=datetime.now(UTC), expires=600
        )
        return f"{made.path}?{made.query}"

    def headers(self, method: str, path: str, **more: str) -> dict[str, str]:
        """The same by headers, `more` of them signed too."""
        moment = datetime.now(UTC)
        given = {"Host": self.address, "X-Amz-Date": f"{moment:%Y%m%dT%H%M%SZ}", "x-amz-content-sha256": UNSIGNED}
        return dict(
            sign_v4_s3(
                method=method,
                url=urlsplit(f"http://{self.address}{path}"),
                region="us-east-1",
                headers={**given, **more},
                credentials=Credentials(self.key.access_key, self.key.secret_key),
                content_sha256=UNSIGNED,
                date=moment,
            )
        )

    def send(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answered:
        """One request as it stands: no client normalises its path."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request(method, target, body or None, headers or {})
        answer = connection.getresponse()
        found = Answered(answer.status, answer.read())
        connection.close()
        return found


@contextmanager
def by_relay(socket_path: Path) -> Iterator[str]:
    """As in the process sandbox: a relay on the loopback before the forwarder's Unix socket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = os.pipe()
    program = [sys.executable, relay.__file__, str(writing), "0", f"{port}={socket_path}", "--", "/bin/sleep", "600"]
    process = subprocess.Popen(program, pass_fds=[writing])
    os.close(writing)
    assert os.read(reading, 1) == b"1", "it listens"
    os.close(reading)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def by_gateway(socket_path: Path) -> Iterator[str]:
    """As on a network of containers: the gateway's port, routed by who asks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gateway = Gateway("127.0.0.1")

    async def close() -> None:
        gateway.close()
        await asyncio.sleep(0.05)  # its connections end in the next rounds of the loop

    with BackgroundLoop() as loop:
        loop.run(gateway.offer("action", (Service(name="store", socket=socket_path, port=port),)))
        gateway.admit("127.0.0.1", "action")
        yield f"127.0.0.1:{port}"
        loop.run(close())


WAYS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"relay": by_relay, "gateway": by_gateway}
