"""A container's two streams, read from the engine as they come; the engine holds the container back meanwhile."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import Any

from pipeline.embedded.docker.engine import Engine
from pipeline.embedded.openwhisk.logs import STREAMS, LogBuffer, Stream

HEADER = struct.Struct(">BxxxL")
"""Which stream, and how many bytes of it follow: the engine's API, "Attach to a container"."""
NAMES: dict[int, Stream] = {1: "stdout", 2: "stderr"}
CHUNK = 64 * 1024
BREATH_S = 0.002
"""After each chunk of output beyond the limit: who prints without end does not keep the server busy."""


class Output:
    """Feeds `buffer` until the streams end. `room` is what may still come at full speed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, buffer: LogBuffer) -> None:
        self.reader = reader
        self.writer = writer
        self.buffer = buffer
        self.room = 0
        self.reading = asyncio.create_task(self.read())

    async def read(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                number, length = HEADER.unpack(await self.reader.readexactly(HEADER.size))
                await self.read_frame(NAMES.get(number), length)
        self.end()

    async def read_frame(self, stream: Stream | None, length: int) -> None:
        while length:
            data = await self.reader.read(min(length, CHUNK))
            if not data:
                raise asyncio.IncompleteReadError(data, length)
            length -= len(data)
            self.room -= len(data)
            if stream is not None:
                self.buffer.feed(stream, data)
            if self.room < 0:
                await asyncio.sleep(BREATH_S)

    async def ended(self, wait_s: float) -> None:
        """Waits for the last output; what is not here by then is not read."""
        await asyncio.wait([self.reading], timeout=wait_s)
        self.reading.cancel()
        self.end()

    def end(self) -> None:
        for stream in STREAMS:
            self.buffer.close(stream)
        self.writer.close()


async def attach(engine: Engine, container: str, buffer: LogBuffer) -> Output:
    """Before the container starts, so that nothing is lost. Raises ENGINE_ERRORS."""
    connection = await engine.do(attached, engine.api, container)
    if connection.family == socket.AF_UNIX:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
    else:
        reader, writer = await asyncio.open_connection(sock=connection)
    return Output(reader, writer, buffer)


def attached(api: Any, container: str) -> socket.socket:
    """A socket of our own, which outlives the SDK's answer."""
    stream = api.attach_socket(container, params={"stream": 1, "stdout": 1, "stderr": 1})
    connection = socket.socket(fileno=os.dup(stream.fileno()))
    connection.setblocking(False)
    return connection
