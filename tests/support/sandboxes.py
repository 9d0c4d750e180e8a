"""Containers of the process sandbox for tests: the real maker, the real runner, a piece of code as the action."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import runner
from pipeline.embedded.contract import ProcessImage, Usage
from pipeline.embedded.openwhisk.containers import (
    Container,
    ContainerMaker,
    ContainerSpec,
    ExitState,
    NoReplyError,
    NoReplyInTimeError,
)
from pipeline.embedded.sandbox.cgroups import parents
from pipeline.embedded.sandbox.container import ProcessContainer
from pipeline.embedded.sandbox.maker import ProcessMaker

WAIT_S = 60.0
LOGS_BYTES = 20_000
ENDED_S = 15.0


@dataclass(frozen=True)
class Ran:
    """What came of one run. `result` is None where there was no reply, `late` where it did not come in time."""

    result: Any
    late: bool
    ended: ExitState | None
    usage: Usage
    logs: tuple[str, ...]


class CodeActions:
    """Containers of the kind `python:3`, in whichever sandbox; the maker is a subclass's."""

    maker: ContainerMaker

    async def create(self, name: str = "one", *, action: str = "action", memory_mb: int = 128) -> Container:
        spec = ContainerSpec(f"test-{name}", "guest", action, "0.0.1", memory_mb, kind="python:3")
        return await self.maker.create(spec)

    async def initialised(self, code: str, name: str = "one", **options: Any) -> Container:
        container = await self.create(name, **options)
        container.begin("activation", LOGS_BYTES)
        body = json.dumps({"value": {"name": "action", "main": "main", "binary": False, "code": code}}).encode()
        reply = await container.request("/init", body, timeout_s=WAIT_S, reply_limit=10**6)
        assert reply.status == 200, reply.body
        return container

    async def run(self, code: str, *, timeout_s: float = WAIT_S, value: Any = None, **options: Any) -> Ran:
        """One activation of `main` in a container of its own, and its end."""
        container = await self.initialised(code, **options)
        result, late = None, False
        try:
            body = json.dumps({"value": value or {}}).encode()
            reply = await container.request("/run", body, timeout_s=timeout_s, reply_limit=10**6)
            result = json.loads(reply.body)
            ended = await container.exited()
        except NoReplyError:
            ended = await container.exited(ENDED_S)
        except NoReplyInTimeError:
            late, ended = True, None
        usage = await container.usage()
        await container.stop()
        return Ran(result, late, ended, usage, tuple(str(line) for line in await container.logs(ENDED_S)))

    async def nothing_left(self) -> None:
        """Closes the maker, and looks for what its containers have left."""
        raise NotImplementedError


class Sandbox(CodeActions):
    """A maker of the process sandbox in a short folder of its own that every user may pass."""

    maker: ProcessMaker

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.users: set[int] = set()
        self.noted: list[tuple[int, str]] = []
        for name in ("sockets", "code", "base", "environment"):
            (folder / name).mkdir()
        (folder / "sockets").chmod(0o700)
        package = Path(next(iter(runner.__path__)))
        shutil.copytree(package, folder / "runner" / "runner", ignore=shutil.ignore_patterns("__pycache__"))
        self.image = ProcessImage(
            reference="python:3",
            digest="none",
            python=Path(sys.executable).resolve(),
            base=folder / "base",
            environment=folder / "environment",
            code=folder / "code",
            runner=folder / "runner",
        )
        self.maker = ProcessMaker(self.manifest, folder / "sockets", lambda pid, name: self.noted.append((pid, name)))

    def manifest(self, reference: str) -> Path:
        if reference != self.image.reference:
            return self.folder / "no-such-image.json"
        path = self.folder / "image.json"
        path.write_text(self.image.model_dump_json())
        return path

    async def create(self, name: str = "one", *, action: str = "action", memory_mb: int = 128) -> ProcessContainer:
        container = await super().create(name, action=action, memory_mb=memory_mb)
        assert isinstance(container, ProcessContainer)
        self.users |= self.maker.users
        return container

    async def initialised(self, code: str, name: str = "one", **options: Any) -> ProcessContainer:
        container = await super().initialised(code, name, **options)
        assert isinstance(container, ProcessContainer)
        return container

    async def nothing_left(self) -> None:
        """No process of a user that containers had, no socket, no control group, no stage."""
        await self.maker.close()
        async with asyncio.timeout(ENDED_S):
            while self.processes():
                await asyncio.sleep(0.05)
        assert list((self.folder / "sockets").iterdir()) == []
        assert [name for parent in parents() or () for name in parent.glob(f"{os.getpid()}-*")] == []
        assert list(Path("/tmp").glob(f"ml-stage-{os.getpid()}-*")) == []

    def processes(self) -> list[psutil.Process]:
        found = [one for one in psutil.process_iter(["uids", "status"]) if one.info["status"] != psutil.STATUS_ZOMBIE]
        return [one for one in found if one.info["uids"] and one.info["uids"].real in self.users]


@asynccontextmanager
async def sandbox() -> AsyncIterator[Sandbox]:
    """Ends with a look for what was left."""
    folder = Path(tempfile.mkdtemp(prefix="sbx-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        made = Sandbox(folder)
        try:
            yield made
        finally:
            await made.nothing_left()
    finally:
        shutil.rmtree(folder)


def in_sandbox(steps: Callable[[Sandbox], Awaitable[None]]) -> None:
    async def run() -> None:
        async with sandbox() as made:
            await steps(made)

    asyncio.run(run())


def ran(code: str, **options: Any) -> Ran:
    """The same for a test of a single run."""
    kept: list[Ran] = []

    async def steps(made: Sandbox) -> None:
        kept.append(await made.run(code, **options))

    in_sandbox(steps)
    return kept[0]
