"""The main job with an OpenWhisk elsewhere that runs containers: built and pushed here, pulled and run there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from support.pushed_runs import pushed_run
from support.real_openwhisk import course_file
from support.registry_server import RegistryServer
from support.runs import EXAMPLES

from pipeline import flow
from pipeline.backends.choose import choose
from pipeline.embedded import client
from pipeline.embedded.client import Embedded
from pipeline.embedded.settings import EmbeddedSettings
from pipeline.errors import Outcome
from pipeline.listener import Silent
from pipeline.result import Result
from pipeline.settings import Sandbox

PORTS = range(31720, 31732)


@pytest.fixture
def host() -> str:
    """An address of this machine that is not the loopback; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        try:
            route.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback")
        found: str = route.getsockname()[0]
        return found


@pytest.fixture
def there(tmp_path: Path, registry: RegistryServer, host: str, docker_unchanged: None) -> Iterator[Embedded]:
    """The embedded one as a process by itself, with the standalone's limits: it pulls with the registry's key."""
    settings = EmbeddedSettings(
        sandbox=Sandbox.DOCKER,
        guest=True,
        reach=tuple(f"{host}:{port}" for port in PORTS),
        registry=registry.address,
        registry_auth_file=registry.auth_file,
        per_minute=60,
        concurrent=30,
        pool_mb=1536,
    )
    servers = client.start(tmp_path / "there", settings)
    yield servers
    servers.stop()


@pytest.mark.slow
def test_an_image_of_the_registry_trains_there(
    tmp_path: Path, there: Embedded, registry: RegistryServer, host: str, engine: docker.DockerClient, default_base: str
) -> None:
    course = course_file(
        tmp_path,
        there.auth,
        workers=2,
        apihost=there.apihost,
        advertise=host,
        ports=f"{PORTS[0]}-{PORTS[-1]}",
        registry=registry.address,
        registry_auth_file=str(registry.auth_file),
    )
    run = pushed_run(tmp_path / "run", EXAMPLES / "mnist_train", course, Sandbox.DOCKER)
    image = run.record.image
    assert image is not None and image.digest.startswith("sha256:")
    engine.images.remove(image.reference, force=True)
    try:
        outcome = flow.walk(run, choose(run), Silent())
        assert outcome is Outcome.PASSED, run.record.reason
        assert engine.images.get(image.reference).id == image.id, "pulled by whoever ran it"
    finally:
        engine.images.remove(image.reference, force=True)
    result = Result.model_validate_json(run.result_file.read_bytes())
    assert (result.isolation, result.sandbox) == ("container", "docker")
    assert result.metrics.accuracy is not None and result.metrics.accuracy >= 0.85
    assert result.metrics.peak_memory_mb is None, "nobody measured it"
