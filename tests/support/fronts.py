"""A TCP port before a Unix socket, for clients that speak no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.embedded.contract import Service
from pipeline.embedded.passing import Passing
from support.loops import BackgroundLoop


@contextmanager
def front(socket: Path) -> Iterator[str]:
    """host:port on the loopback."""

    async def route(_peer: str, _port: int) -> Service:
        return Service(name="front", socket=socket, port=1)

    async def listen() -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(passing, "127.0.0.1", 0)

    async def close() -> None:
        server.close()
        passing.close()

    passing = Passing(route, most=64, most_each=64)
    with BackgroundLoop() as loop:
        server = loop.run(listen())
        host, port = server.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"
        loop.run(close())
