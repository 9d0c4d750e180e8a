"""A maker of containers of either sandbox, by itself: no server around it, code actions of a test in it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pipeline.embedded.docker.maker import DockerMaker
from pipeline.embedded.openwhisk.containers import Container, ContainerMaker, ContainerSpec
from pipeline.embedded.sandbox.maker import ProcessMaker
from pipeline.embedded.settings import EmbeddedSettings
from pipeline.embedded.state import State
from pipeline.settings import Sandbox as SandboxName
from support.openwhisk import Sandbox

WAIT_S = 120.0
LOGS_BYTES = 20_000
POOL = "10.214.0.0/20"
"""Of networks: not that of runs, whose settings are the default ones."""


class Made:
    """`maker`, and a folder of ours whose path is short."""

    def __init__(self, sandbox: Sandbox, folder: Path, **settings: Any) -> None:
        state = State(folder / "state")
        state.create()
        (folder / "sockets").mkdir(mode=0o700)
        for reference, manifest in sandbox.manifests.items():
            state.image_file(reference).write_text(json.dumps(manifest))
        self.folder = folder
        self.apart = sandbox.name == "docker"
        self.made = 0
        self.maker: ContainerMaker
        if self.apart:
            given = EmbeddedSettings(sandbox=SandboxName.DOCKER, networks=POOL).model_copy(update=settings)
            self.maker = DockerMaker(state, given)
        else:
            self.maker = ProcessMaker(state.image_file, folder / "sockets", lambda _pid, _name: None)

    async def start(self, code: str, *, namespace: str = "run-a", action: str = "worker") -> Container:
        """A container of the action, its code known to it."""
        self.made += 1
        spec = ContainerSpec(f"test{self.made}", namespace, action, "0.0.1", 256, kind="python:3")
        container = await self.maker.create(spec)
        container.begin(f"activation{self.made}", LOGS_BYTES)
        value = {"name": action, "main": "main", "binary": False, "code": code}
        await ask(container, "/init", value)
        return container


async def ask(container: Container, path: str, value: dict[str, Any]) -> dict[str, Any]:
    reply = await container.request(path, json.dumps({"value": value}).encode(), timeout_s=WAIT_S, reply_limit=10**6)
    answer: dict[str, Any] = json.loads(reply.body or b"{}")
    assert reply.status == 200, (answer, [str(line) for line in await container.logs(2.0)])
    return answer


@asynccontextmanager
async def made(sandbox: Sandbox, **settings: Any) -> AsyncIterator[Made]:
    folder = Path(tempfile.mkdtemp(prefix="made-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        found = Made(sandbox, folder, **settings)
        try:
            yield found
        finally:
            await found.maker.close()
    finally:
        shutil.rmtree(folder)
