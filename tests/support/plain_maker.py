"""Containers without any sandbox: a subprocess each, over TCP on the loopback. For tests only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Mapping, Sequence

from pipeline.embedded.contract import Reach, Usage
from pipeline.embedded.openwhisk.containers import ContainerSpec, ExitState, NoImageError, Reply
from pipeline.embedded.openwhisk.exchange import post
from pipeline.embedded.openwhisk.logs import LogBuffer, LogLine, Stream
from pipeline.embedded.processes import bound_to_parent

MB = 1024 * 1024
SLACK = 128 * MB


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PlainContainer:
    def __init__(self, name: str, process: asyncio.subprocess.Process, port: int) -> None:
        self.id = name
        self._process, self._address = process, ("127.0.0.1", port)
        self._buffer = LogBuffer()
        self._activation = ""
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        assert process.stdout is not None
        assert process.stderr is not None
        self._tasks = [
            asyncio.create_task(self._read("stdout", process.stdout)),
            asyncio.create_task(self._read("stderr", process.stderr)),
            asyncio.create_task(self._reap()),
        ]

    def begin(self, activation: str, logs_bytes: int) -> None:
        self._activation = activation
        self._buffer.begin(logs_bytes)

    async def request(self, path: str, body: bytes, *, timeout_s: float, reply_limit: int) -> Reply:
        return await post(self._address, path, body, timeout_s=timeout_s, reply_limit=reply_limit, ended=self._ended)

    async def logs(self, wait_s: float) -> tuple[LogLine, ...]:
        return await self._buffer.take(wait_s)

    async def exited(self, wait_s: float = 0.0) -> ExitState | None:
        if wait_s and not self._ended.done():
            await asyncio.wait([self._ended], timeout=wait_s)
        return ExitState(self._ended.result()) if self._ended.done() else None

    async def pause(self) -> None:
        pass

    async def resume(self) -> None:
        pass

    async def usage(self) -> Usage:
        return Usage(activation=self._activation, container=self.id)

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.wait([self._ended])

    async def _read(self, stream: Stream, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(65536):
            self._buffer.feed(stream, data)
        self._buffer.close(stream)

    async def _reap(self) -> None:
        self._ended.set_result(await self._process.wait())


class PlainMaker:
    """Runs an image's command with the port to listen on in PORT."""

    def __init__(self, images: Mapping[str, Sequence[str]], kinds: Sequence[str] = ()) -> None:
        self.images, self.kinds = images, kinds
        self.made: list[PlainContainer] = []
        self.reaches: list[Reach] = []

    async def available(self) -> str:
        return ""

    async def create(self, spec: ContainerSpec) -> PlainContainer:
        command = self.images.get(spec.image or "") if spec.image else self.kinds
        if not command:
            raise NoImageError(f"there is no image {spec.image or spec.kind}")
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *bound_to_parent(command),  # a killed server's go with it
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PORT": str(port), **spec.variables},
            start_new_session=True,
        )
        # no sandbox, but an action that takes far too much memory fails
        resource.prlimit(process.pid, resource.RLIMIT_AS, (spec.memory_mb * MB + SLACK,) * 2)
        container = PlainContainer(spec.name, process, port)
        self.made.append(container)
        return container

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        self.reaches.append(reach)
        return {service.name: f"127.0.0.1:{service.port}" for service in reach.services}

    async def close(self) -> None:
        for container in self.made:
            await container.stop()
