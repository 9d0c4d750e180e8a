"""Fixtures for tests that hold in either sandbox, each run in the process sandbox and in docker; a plugin of conftest.

| fixture | what a test gets |
|---|---|
| `in_either` | runs steps, given a `CodeActions`, and looks for what was left |
| `ran` | runs a piece of code in a container of its own; what came of it |
| `in_docker` | as `in_either`, in docker alone |
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from pipeline.embedded.contract import CODE_IMAGE, DockerImage
from pipeline.embedded.docker.maker import DockerMaker
from pipeline.embedded.docker.owner import OWNER
from pipeline.embedded.sandbox.probe import probe
from pipeline.embedded.settings import EmbeddedSettings, write_private
from pipeline.embedded.state import State
from pipeline.settings import Isolation
from support.action_sandboxes import CODE_DOCKERFILE, built
from support.sandboxes import CodeActions, Ran, sandbox

ROOT = Path(__file__).parents[2]
Steps = Callable[[Any], Awaitable[None]]
InEither = Callable[[Steps], None]


class DockerSandbox(CodeActions):
    """A maker with docker; containers run this checkout's runner."""

    maker: DockerMaker

    def __init__(self, folder: Path, image: DockerImage, engine: docker.DockerClient) -> None:
        self.folder = folder
        self.engine = engine
        self.image = image
        self.state = State(folder / "state")
        self.state.create()
        write_private(self.state.image_file(CODE_IMAGE), image)
        self.maker = DockerMaker(self.state, EmbeddedSettings(pool_mb=4096))

    async def nothing_left(self) -> None:
        owner = {"label": f"{OWNER}={self.maker.owner.text}"}
        await self.maker.close()
        assert self.engine.containers.list(all=True, ignore_removed=True, filters=owner) == []
        assert self.engine.networks.list(filters=owner) == []
        assert self.engine.volumes.list(filters=owner) == []
        assert self.maker.guardian.process.wait(10) == 0


@asynccontextmanager
async def docker_sandbox(image: DockerImage, engine: docker.DockerClient) -> AsyncIterator[DockerSandbox]:
    """Ends with a look for what was left."""
    folder = Path(tempfile.mkdtemp(prefix="dsbx-", dir="/tmp"))
    try:
        made = DockerSandbox(folder, image, engine)
        try:
            yield made
        finally:
            await made.nothing_left()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def runner_image(engine: docker.DockerClient, debian_python: str) -> Iterator[DockerImage]:
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(ROOT / "runner", Path(name, "runner"), ignore=shutil.ignore_patterns("__pycache__"))
        Path(name, "Dockerfile").write_text(CODE_DOCKERFILE)
        with built(engine, debian_python, Path(name)) as image:
            yield image


@pytest.fixture(params=["process", "docker"])
def in_either(request: pytest.FixtureRequest) -> InEither:
    if request.param == "docker":
        in_docker: InEither = request.getfixturevalue("in_docker")
        return in_docker
    if probe().isolation is not Isolation.NAMESPACES:
        pytest.skip("bubblewrap does not work here, so there are no namespaces")
    return lambda steps: within(sandbox(), steps)


@pytest.fixture
def in_docker(runner_image: DockerImage, engine: docker.DockerClient) -> InEither:
    return lambda steps: within(docker_sandbox(runner_image, engine), steps)


@pytest.fixture
def ran(in_either: InEither) -> Callable[..., Ran]:
    def run(code: str, **options: Any) -> Ran:
        kept: list[Ran] = []

        async def steps(made: CodeActions) -> None:
            kept.append(await made.run(code, **options))

        in_either(steps)
        return kept[0]

    return run


def within(made: AbstractAsyncContextManager[CodeActions], steps: Steps) -> None:
    async def run() -> None:
        async with made as one:
            await steps(one)

    asyncio.run(run())
