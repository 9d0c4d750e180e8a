"""Fixtures of tests with real containers, for every suite but `unit`; a plugin of tests/conftest.py.

| fixture | | what a test gets |
|---|---|---|
| `engine` | session | the docker SDK's client of the engine that answers at DOCKER_HOST or its usual socket |
| `debian_python` | session | the reference of an image with python3.11 and nothing else; `.ci/run` imports it |
| `default_base` | session | the reference of the course's default base, with torch; `.ci/run` builds it |
| `registry` | session | a RegistryServer (support.registry_server): asks for credentials, on the loopback |
| `minio` | session | a MinioServer (support.minio_server) on the loopback |
| `sandbox` | test | `process`, then `docker` with the default base, as the option --sandbox takes them |
| `docker_unchanged` | test | fails where the test leaves a container, network, volume or firewall rule |

What a machine does not have skips the test, with the reason. Several sessions on one engine do not
disturb each other: `docker_unchanged` leaves out what a living process of another one owns, and waits for what is about
to go.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import docker.errors
import pytest
import requests

from support import left_behind, minio_server, registry_server
from support.minio_server import MinioServer
from support.registry_server import RegistryServer

DEBIAN_PYTHON = os.environ.get("DEBIAN_PYTHON", "debian-python:bookworm")
DEFAULT_BASE = "ml-pipeline/base:default"
GONE_S = 150.0
UNREACHABLE = (docker.errors.DockerException, requests.RequestException)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except UNREACHABLE:
        pytest.skip(f"no docker engine answers at {os.environ.get('DOCKER_HOST', 'its usual socket')}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def debian_python(engine: docker.DockerClient) -> str:
    return there(engine, DEBIAN_PYTHON, "it cannot be pulled from anywhere")


def there(engine: docker.DockerClient, reference: str, otherwise: str) -> str:
    try:
        engine.images.get(reference)
    except docker.errors.ImageNotFound:
        pytest.skip(f"the docker engine has no image {reference}: {otherwise}")
    return reference


@pytest.fixture(scope="session")
def default_base(engine: docker.DockerClient) -> str:
    return there(engine, DEFAULT_BASE, "`pipeline base build` makes it")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    if registry_server.program() is None:
        pytest.skip("no docker-registry here, which Debian's package of that name installs")
    with registry_server.registry_server(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    if minio_server.program() is None:
        pytest.skip("no MinIO here: `go install github.com/minio/minio@latest` makes it possible")
    with minio_server.minio_server(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def docker_unchanged(engine: docker.DockerClient) -> Iterator[None]:
    with unchanged(engine):
        yield


@contextmanager
def unchanged(engine: docker.DockerClient) -> Iterator[None]:
    """What is made on the engine and in the firewall inside of it is gone soon after, or the test fails with names."""
    before = left_behind.seen(engine)
    yield
    deadline = time.monotonic() + GONE_S
    while left := left_behind.seen(engine) - before:
        if time.monotonic() > deadline:
            pytest.fail("left on this machine: " + "; ".join(sorted(left)))
        time.sleep(0.5)


@pytest.fixture(params=["process", "docker"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Images of runs below `tmp_path` go with the test."""
    if request.param == "docker":
        request.getfixturevalue("default_base")
        engine: docker.DockerClient = request.getfixturevalue("engine")
        with unchanged(engine):
            yield "docker"
        for record in tmp_path.rglob("record.json"):
            forget_image(engine, record.parent)
    else:
        yield "process"


def forget_image(engine: docker.DockerClient, run: Path) -> None:
    """Removes what a run has built; harmless where it has built nothing."""
    with suppress(FileNotFoundError, docker.errors.ImageNotFound):
        image = json.loads((run / "record.json").read_text()).get("image")
        if image:
            engine.images.remove(image["reference"], force=True)
