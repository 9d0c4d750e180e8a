"""Embedded servers under test: what is asked of them, and what is looked at from outside."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import sys
import sysconfig
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import requests

from pipeline.backends.store.s3 import S3Bucket, connect
from pipeline.embedded.client import Embedded
from pipeline.embedded.contract import Forward, ProcessImage
from pipeline.embedded.processes import Recorded, recorded
from pipeline.embedded.settings import EmbeddedSettings, StoreKeys

SETTINGS = EmbeddedSettings(pool_mb=512)
WAIT_S = 60.0


SLEEPER = "import time\n\ndef main(params):\n    time.sleep(params.get('seconds', 0))\n    return {'done': True}\n"
ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def bucket_of(keys: StoreKeys, name: str = "own") -> S3Bucket:
    return connect(keys.endpoint, keys.access_key, keys.secret_key, name)


def family(servers: Embedded) -> list[Recorded]:
    processes = [psutil.Process(servers.ready.pid), *psutil.Process(servers.ready.pid).children(recursive=True)]
    return [one for one in (recorded(process.pid) for process in processes) if one is not None]


def kill(servers: Embedded) -> None:
    os.kill(servers.ready.pid, signal.SIGKILL)
    wait_for(lambda: Recorded(pid=servers.ready.pid, started=servers.ready.started).find() is None, "killed")


def through(socket_path: Path, method: str, path: str, host: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(socket_path))
    connection.request(method, path, headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def signed(bucket: S3Bucket, key: str) -> str:
    url = bucket.url(key, valid_for=timedelta(hours=1), address="127.0.0.1:9000")
    return url.removeprefix("http://127.0.0.1:9000")


def forward(name: str, *allowed: tuple[str, str], requests: int = 100) -> Forward:
    return Forward(name=name, store="course", allowed=allowed, exact=True, requests=requests, bytes_total=10_000)


def put_action(servers: Embedded, name: str) -> requests.Response:
    return requests.put(
        f"{servers.apihost}/api/v1/namespaces/_/actions/{name}?overwrite=true",
        json={"exec": {"kind": "blackbox", "image": "local/none:1"}, "limits": {"memory": 128}},
        auth=tuple(servers.auth.split(":")),
        timeout=30,
    )


def invoke(servers: Embedded, name: str, seconds: float, *, blocking: bool) -> str:
    answer = requests.post(
        f"{servers.apihost}/api/v1/namespaces/_/actions/{name}?blocking={str(blocking).lower()}",
        json={"seconds": seconds},
        auth=tuple(servers.auth.split(":")),
        timeout=120,
    )
    assert answer.status_code in {200, 202}, answer.text
    return str(answer.json()["activationId"])


def with_code_action(servers: Embedded, tmp_path: Path) -> None:
    """Installs this checkout's runner as the image of code actions, and an action `sleeper`."""
    shutil.copytree(ROOT / "runner", tmp_path / "image" / "runner")
    (tmp_path / "code").mkdir()
    servers.install(
        ProcessImage(
            reference="python:3",
            digest="sha256:0",
            python=Path(sys.executable).resolve(),
            base=Path(sysconfig.get_path("purelib")),
            environment=None,
            code=tmp_path / "code",
            runner=tmp_path / "image",
        )
    )
    answer = requests.put(
        f"{servers.apihost}/api/v1/namespaces/_/actions/sleeper?overwrite=true",
        json={"exec": {"kind": "python:3.11", "code": SLEEPER}, "limits": {"memory": 256, "timeout": 120_000}},
        auth=tuple(servers.auth.split(":")),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
