"""One container of the process sandbox: a process tree, its output, its watch, and the socket that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from pipeline.embedded.contract import Usage
from pipeline.embedded.openwhisk.containers import ExitState, NoReplyError, Reply
from pipeline.embedded.openwhisk.exchange import post
from pipeline.embedded.openwhisk.logs import LogBuffer, LogLine, Stream
from pipeline.embedded.sandbox.cgroups import Cgroup
from pipeline.embedded.sandbox.tree import held, kill, session
from pipeline.embedded.sandbox.watch import Watch

CHUNK = 64 * 1024
BREATH_S = 0.002
"""After each chunk of output beyond the limit: who prints without end does not keep the server busy."""
START_OUTPUT = 4096
LAST_OUTPUT_S = 2.0
GENTLE_S = 0.3
REMOVAL_TRIES = 250


class ProcessContainer:
    """Implements `Container`. `clean` frees what the maker made for it."""

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        socket: Path,
        watch: Watch,
        cgroup: Cgroup | None,
        clean: Callable[[], None],
    ) -> None:
        self.name = name
        self.process = process
        self.socket = socket
        self.watch = watch
        self.cgroup = cgroup
        self.clean = clean
        self.activation = ""
        self.room = START_OUTPUT
        self.buffer = LogBuffer()
        self.buffer.begin(START_OUTPUT)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        assert process.stdout is not None and process.stderr is not None, "both streams are pipes"
        self.readers = [
            asyncio.create_task(self.read("stdout", process.stdout)),
            asyncio.create_task(self.read("stderr", process.stderr)),
        ]
        self.reaper = asyncio.create_task(self.reap())
        self.removed = False

    @property
    def id(self) -> str:
        return self.name

    def begin(self, activation: str, logs_bytes: int) -> None:
        self.activation = activation
        self.room = logs_bytes
        self.buffer.begin(logs_bytes)
        self.watch.begin()

    async def request(self, path: str, body: bytes, *, timeout_s: float, reply_limit: int) -> Reply:
        """A reply of a container that has met a limit counts for nothing: what was killed for it may be a child."""
        reply = await post(self.socket, path, body, timeout_s=timeout_s, reply_limit=reply_limit, ended=self.ended)
        self.check()
        if self.watch.killed_for:
            raise NoReplyError(f"the container has met its limit of {self.watch.killed_for}")
        return reply

    async def logs(self, wait_s: float) -> tuple[LogLine, ...]:
        return await self.buffer.take(wait_s)

    async def exited(self, wait_s: float = 0.0) -> ExitState | None:
        if wait_s and not self.ended.done():
            await asyncio.wait([self.ended], timeout=wait_s)
        return ExitState(self.ended.result(), self.watch.killed_for) if self.ended.done() else None

    async def usage(self) -> Usage:
        if not self.ended.done():
            self.watch.look(closely=True)
        return self.watch.usage(self.activation)

    async def pause(self) -> None:
        """Nothing: an idle process tree takes its memory and no processor."""

    async def resume(self) -> None:
        """Nothing, as it was never paused."""

    async def stop(self) -> None:
        """Kills the whole tree; in a process namespace the kernel ends all with its first process."""
        if not self.watch.apart and not self.ended.done():
            # confine.py ends what has left its tree, which nobody else finds
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)
            await asyncio.wait([self.ended], timeout=GENTLE_S)
        while not self.ended.done():
            self.kill()
            await asyncio.wait([self.ended], timeout=0.05)
        await asyncio.shield(self.reaper)

    def kill(self) -> None:
        """Held first: a child that bubblewrap makes meanwhile, and that it has not bound to itself, would live on.

        Then what is inside, which bubblewrap waits for and ends with; it is killed itself when there is nothing inside.
        """
        outermost = self.process.pid
        if self.watch.apart:
            held(outermost)
        if self.cgroup is not None:
            self.cgroup.kill()
        inside = (self.watch.members() | session(outermost)) - {outermost}
        if inside and self.watch.apart:
            kill(inside)
            kill({outermost}, signal.SIGCONT)
        else:
            kill(inside | {outermost})

    def check(self) -> None:
        """Looks at the limits; a container that meets one is killed, and says which."""
        if self.ended.done() or not self.watch.look():
            return
        if self.watch.apart:
            self.kill()
        else:
            kill(self.watch.members() - {self.watch.root})

    async def read(self, stream: Stream, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(CHUNK):
            self.buffer.feed(stream, data)
            self.room -= len(data)
            if self.room < 0:
                await asyncio.sleep(BREATH_S)
        self.buffer.close(stream)

    async def reap(self) -> None:
        code = await self.process.wait()
        self.watch.look(closely=True)
        self.ended.set_result(code)
        kill(self.watch.members())
        await asyncio.wait(self.readers, timeout=LAST_OUTPUT_S)
        for reader in self.readers:
            reader.cancel()
        for stream in ("stdout", "stderr"):
            self.buffer.close(stream)
        await self.remove()

    async def remove(self) -> None:
        """Frees what the container held; its control group once the last process has left it."""
        if self.removed:
            return
        self.removed = True
        for _ in range(REMOVAL_TRIES):
            if self.cgroup is None or self.cgroup.remove():
                break
            kill(self.cgroup.members())
            await asyncio.sleep(0.02)
        self.clean()  # last: the maker waits for those that it still knows, and their users are not free before

    async def gone(self) -> None:
        """Returns when the tree is ended and all is removed."""
        await self.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await self.reaper
