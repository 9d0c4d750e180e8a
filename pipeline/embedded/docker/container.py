"""One container of docker: its output, its watch, its address, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from pipeline.embedded.contract import Usage
from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.embedded.docker.output import Output, attach
from pipeline.embedded.docker.removal import removed
from pipeline.embedded.docker.seats import Seat
from pipeline.embedded.openwhisk.containers import ExitState, NoContainerError, NoReplyError, Reply
from pipeline.embedded.openwhisk.exchange import post
from pipeline.embedded.openwhisk.logs import LogBuffer, LogLine
from pipeline.embedded.sandbox.tree import kill
from pipeline.embedded.sandbox.watch import Watch

PORT = 8080
START_OUTPUT = 4096
LAST_OUTPUT_S = 2.0
KILLED = 137
ENDING_S = 10.0
"""How long the engine may take to say how a container ended of which no process is left."""
TOLD_S = 0.5
"""That memory was the reason the engine may learn after the end."""


class DockerContainer:
    """Implements `Container`. `free` gives back what the maker gave it; called once, when the container is gone."""

    def __init__(
        self, name: str, number: str, image: str, engine: Engine, seat: Seat, free: Callable[[DockerContainer], None]
    ) -> None:
        self.name = name
        self.number = number
        self.image = image
        self.engine = engine
        self.address = seat.address
        self.holder = seat.holder
        self.free = free
        self.activation = ""
        self.buffer = LogBuffer()
        self.buffer.begin(START_OUTPUT)
        self.output: Output | None = None
        self.watch: Watch | None = None
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ending: asyncio.Task[None] | None = None
        self.killing: asyncio.Task[None] | None = None
        self.removal: asyncio.Task[None] | None = None
        self.paused = False

    @property
    def id(self) -> str:
        return self.name

    async def start(self, watch: Callable[[str], Awaitable[Watch]]) -> None:
        """Raises ENGINE_ERRORS."""
        self.output = await attach(self.engine, self.number, self.buffer)
        self.output.room = START_OUTPUT
        await self.engine.do(self.engine.api.start, self.number)
        self.watch = await watch(self.number)

    def begin(self, activation: str, logs_bytes: int) -> None:
        self.activation = activation
        self.buffer.begin(logs_bytes)
        if self.output is not None:
            self.output.room = logs_bytes
        if self.watch is not None:
            self.watch.begin()

    async def request(self, path: str, body: bytes, *, timeout_s: float, reply_limit: int) -> Reply:
        """A reply of a container that has met a limit counts for nothing: what was killed for it may be a child."""
        address = (self.address, PORT)
        reply = await post(address, path, body, timeout_s=timeout_s, reply_limit=reply_limit, ended=self.ended)
        if self.watch is not None and self.watch.look_at_limits():
            self.check()
            raise NoReplyError(f"the container has met its limit of {self.killed_for}")
        return reply

    async def logs(self, wait_s: float) -> tuple[LogLine, ...]:
        return await self.buffer.take(wait_s)

    async def exited(self, wait_s: float = 0.0) -> ExitState | None:
        """Longer where no process is left: then the engine is about to tell."""
        if wait_s and not self.ended.done():
            await asyncio.wait([self.ended], timeout=wait_s)
        if not self.ended.done() and self.is_ending:
            await asyncio.wait([self.ended], timeout=ENDING_S)
        return ExitState(self.ended.result(), self.killed_for) if self.ended.done() else None

    @property
    def is_ending(self) -> bool:
        group = self.watch.cgroup if self.watch is not None else None
        return self.ending is not None or self.killing is not None or (group is not None and not group.members())

    @property
    def killed_for(self) -> str:
        return self.watch.killed_for if self.watch is not None else ""

    async def usage(self) -> Usage:
        if self.watch is None:
            return Usage(activation=self.activation, container=self.name, image=self.image)
        if not self.ended.done():
            self.watch.look(closely=True)
        return self.watch.usage(self.activation).model_copy(update={"container": self.name, "image": self.image})

    async def pause(self) -> None:
        if self.paused or self.ended.done() or self.removal is not None:
            return
        with suppress(*ENGINE_ERRORS):
            await self.engine.do(self.engine.api.pause, self.name)
            self.paused = True

    async def resume(self) -> None:
        if not self.paused:
            return
        try:
            await self.engine.do(self.engine.api.unpause, self.name)
        except ENGINE_ERRORS as error:
            raise NoContainerError(f"container {self.name} does not go on: {said(error)}") from error
        self.paused = False

    def check(self) -> None:
        """Looks at the limits; a container that meets one is killed, and says which."""
        if self.watch is not None and not self.ended.done() and self.watch.look() and self.killing is None:
            self.killing = asyncio.create_task(self.kill())

    async def kill(self) -> None:
        with suppress(*ENGINE_ERRORS):
            await self.engine.do(self.engine.api.kill, self.name)

    def met_memory(self) -> None:
        """The engine tells that the kernel has killed a process for memory."""
        if self.watch is not None:
            self.watch.killed_for = self.watch.killed_for or "memory"
            self.check()

    def died(self, code: int) -> None:
        """The engine tells that the first process has ended; it may tell so twice."""
        if self.ending is None:
            self.ending = asyncio.create_task(self.end(code))

    async def end(self, code: int) -> None:
        """`ended` is done once it is known why."""
        if self.removal is None and self.watch is not None and not self.watch.killed_for:
            state = await self.state()
            if code == KILLED and not state.get("OOMKilled"):
                await asyncio.sleep(TOLD_S if not self.watch.killed_for else 0)
                state = await self.state()
            if state.get("OOMKilled"):
                self.watch.killed_for = self.watch.killed_for or "memory"
        if not self.ended.done():
            self.ended.set_result(code)

    async def state(self) -> dict[str, Any]:
        """As the engine has it; nothing where it has it no more."""
        with suppress(*ENGINE_ERRORS):
            return dict((await self.engine.do(self.engine.api.inspect_container, self.number))["State"])
        return {}

    async def stop(self) -> None:
        if self.removal is None:
            self.removal = asyncio.create_task(self.remove())
        await asyncio.shield(self.removal)

    async def remove(self) -> None:
        """With what held its network, which is no other container's."""
        if self.watch is not None and not self.ended.done():
            self.watch.look(closely=True)
        holders = [removed(self.engine, self.holder)] if self.holder else []
        await asyncio.gather(removed(self.engine, self.name, self.force), *holders)
        if not self.ended.done():
            self.ended.set_result(KILLED)
        if self.output is not None:
            await self.output.ended(LAST_OUTPUT_S)
        self.free(self)

    async def force(self) -> None:
        group = self.watch.cgroup if self.watch is not None else None
        if group is not None:
            group.kill()
            kill(group.members())
        with suppress(*ENGINE_ERRORS):
            await self.engine.do(self.engine.api.unpause, self.name)
