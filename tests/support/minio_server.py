"""A real MinIO, where its program is here: `go install github.com/minio/minio@latest` puts it into ~/go/bin."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

START_S = 60


@dataclass(frozen=True)
class MinioServer:
    endpoint: str
    access_key: str
    secret_key: str


def program() -> str | None:
    return shutil.which("minio", path=os.pathsep.join((os.environ["PATH"], str(Path.home() / "go" / "bin"))))


@contextmanager
def minio_server(folder: Path) -> Iterator[MinioServer]:
    """Serves `folder` on a free loopback port."""
    path = program()
    assert path is not None, "the caller has looked for the program"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    server = MinioServer(endpoint, secrets.token_hex(10), secrets.token_hex(20))
    keys = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    process = subprocess.Popen(
        [path, "server", "--quiet", "--address", endpoint, "--console-address", "127.0.0.1:0", str(folder)],
        env=os.environ | keys,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_answer(endpoint)
        yield server
    finally:
        process.terminate()
        process.wait(START_S)


def await_answer(endpoint: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            requests.get(f"http://{endpoint}/minio/health/ready", timeout=5).raise_for_status()
            return
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
