"""A real MinIO, where its program is here: `go install github.com/minio/minio@latest` puts it into ~/go/bin."""

from __future__ import annotations

import json
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

import pytest
import requests
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from pipeline.backends.store import Key, Place
from pipeline.backends.store.s3 import Pool
from pipeline.settings import Servers

START_S = 60
POLICY = Path(__file__).parents[2] / "deploy" / "minio" / "course-policy.json"


@dataclass(frozen=True)
class MinioServer:
    endpoint: str
    access_key: str
    secret_key: str
    ca_file: Path | None = None

    @property
    def place(self) -> Place:
        return Place(self.endpoint, self.ca_file is not None, self.ca_file)

    def course_key(self, course: str) -> Key:
        """A new user's, with the policy that docs/staff.md tells staff to give it."""
        user, secret, name = secrets.token_hex(8), secrets.token_hex(16), f"course-{course}"
        admin = MinioAdmin(
            endpoint=self.endpoint,
            credentials=StaticProvider(self.access_key, self.secret_key),
            secure=self.place.secure,
            http_client=Pool(self.ca_file),
        )
        admin.user_add(user, secret)
        admin.policy_add(name, policy=json.loads(POLICY.read_text().replace("COURSE", course)))
        admin.policy_set(name, user=user)
        return Key(user, secret)

    def settings(self, course: str, folder: Path) -> Servers:
        """The part of a course's settings that names this store."""
        key = self.course_key(course)
        file = folder / "store.auth"
        file.write_text(f"{key.access_key}:{key.secret_key}\n")
        file.chmod(0o600)
        return Servers(store_endpoint=self.place.url, store_auth_file=file, store_ca_file=self.ca_file)


def program() -> str | None:
    return shutil.which("minio", path=os.pathsep.join((os.environ["PATH"], str(Path.home() / "go" / "bin"))))


def needed() -> None:
    """Skips where there is no MinIO, or nothing to make it a certificate."""
    if program() is None:
        pytest.skip("no MinIO here: `go install github.com/minio/minio@latest` makes it possible")
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here, which makes the test's certificate")


@contextmanager
def minio_server(folder: Path, *, tls: bool = False) -> Iterator[MinioServer]:
    """Serves `folder` on a free loopback port, over TLS with a certificate of its own when asked."""
    path = program()
    assert path is not None, "the caller has looked for the program"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    certificates = folder.with_name(f"{folder.name}-certificates")
    ca_file = make_certificate(certificates) if tls else None
    server = MinioServer(endpoint, secrets.token_hex(10), secrets.token_hex(20), ca_file)
    keys = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    options = ["--quiet", "--address", endpoint, "--console-address", "127.0.0.1:0", "--certs-dir", str(certificates)]
    process = subprocess.Popen(
        [path, "server", *options, str(folder)],
        env=os.environ | keys,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_answer(server)
        yield server
    finally:
        process.terminate()
        process.wait(START_S)


def make_certificate(folder: Path) -> Path:
    folder.mkdir(parents=True)
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "private.key"), "-out", str(folder / "public.crt")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files],
        check=True,
        capture_output=True,
    )
    return folder / "public.crt"


def await_answer(server: MinioServer) -> None:
    deadline = time.monotonic() + START_S
    verify = True if server.ca_file is None else str(server.ca_file)
    while True:
        try:
            requests.get(f"{server.place.url}/minio/health/ready", timeout=5, verify=verify).raise_for_status()
            return
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
