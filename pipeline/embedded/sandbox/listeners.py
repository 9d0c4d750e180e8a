"""Without a network namespace: a loopback port for each service, since programs outside it speak TCP."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

CHUNK = 256 * 1024
CONNECTIONS = 64
"""Of each service at a time: one more is ended at once."""


class Listeners:
    """Ports by the Unix socket that they pass on to; the same socket keeps its port."""

    def __init__(self) -> None:
        self.servers: dict[Path, asyncio.Server] = {}
        self.open_ones: Counter[Path] = Counter()

    async def open(self, target: Path) -> str:
        """host:port on the loopback."""
        if target not in self.servers:

            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if self.open_ones[target] >= CONNECTIONS:
                    writer.close()
                    return
                self.open_ones[target] += 1
                try:
                    await pass_on(reader, writer, target)
                finally:
                    self.open_ones[target] -= 1

            self.servers[target] = await asyncio.start_server(connected, "127.0.0.1", 0)
        host, port = self.servers[target].sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def close(self) -> None:
        for server in self.servers.values():
            server.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Path) -> None:
    try:
        outside, inward = await asyncio.open_unix_connection(str(target))
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, inward), pump(outside, writer))


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof() if target.can_write_eof() else target.close()
