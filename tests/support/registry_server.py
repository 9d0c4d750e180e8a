"""A real registry that asks for credentials, where Debian's package docker-registry is installed."""

from __future__ import annotations

import json
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
USER, PASSWORD = "pusher", "of-the-tests"
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuuZed5HUPv8ETIZGTOl1S2yYkDII01Ei\n"


@dataclass(frozen=True)
class RegistryServer:
    """`address` is host:port, to name images by; `auth_file` holds user:password in one line."""

    address: str
    user: str
    password: str
    auth_file: Path

    def get(self, path: str) -> requests.Response:
        """GET /v2/`path` with the credentials."""
        where = f"http://{self.address}/v2/{path}"
        kinds = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        return requests.get(where, auth=(self.user, self.password), headers=kinds, timeout=START_S)

    def tags(self) -> dict[str, list[str]]:
        """Every repository with its tags."""
        names: list[str] = self.get("_catalog").json()["repositories"]
        return {name: self.get(f"{name}/tags/list").json()["tags"] or [] for name in names}


def program() -> str | None:
    return shutil.which("docker-registry")


@contextmanager
def registry_server(folder: Path) -> Iterator[RegistryServer]:
    """Keeps its images in `folder`, on a free loopback port, which engines take without TLS."""
    path = program()
    assert path is not None, "the caller has looked for the program"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    users, auth_file, settings = folder / "htpasswd", folder / "auth", folder / "registry.yml"
    users.write_text(HTPASSWD)
    auth_file.write_text(f"{USER}:{PASSWORD}\n")
    auth_file.chmod(0o600)
    # what is JSON is YAML too
    settings.write_text(json.dumps(configuration(address, users, folder / "images")))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([path, "serve", str(settings)], stdout=log, stderr=log)
    try:
        await_answer(process, address, folder / "registry.log")
        yield RegistryServer(address, USER, PASSWORD, auth_file)
    finally:
        process.terminate()
        process.wait(START_S)


def configuration(address: str, users: Path, images: Path) -> dict[str, object]:
    return {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(images)}, "delete": {"enabled": True}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "tests", "path": str(users)}},
    }


def await_answer(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """It has answered who asks without credentials: 401."""
    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, log.read_text()
        try:
            assert requests.get(f"http://{address}/v2/", timeout=5).status_code == 401
            return
        except requests.RequestException:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
