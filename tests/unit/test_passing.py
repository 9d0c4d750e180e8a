"""Connections passed on: whole, both ways, no faster than they are read, and no more than there may be."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipeline.embedded.contract import Service
from pipeline.embedded.docker.gateway import Gateway
from pipeline.embedded.passing import Passing

MANY = b"0123456789abcdef" * 500_000
PATIENCE_S = 60
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def passed(handler: Handler, **bounds: int) -> AsyncIterator[tuple[str, int]]:
    """A port that passes on to a Unix socket served by `handler`."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(name="s", socket=Path(folder, "s"), port=9000)
        server = await asyncio.start_unix_server(handler, str(service.socket))

        async def route(_peer: str, _port: int) -> Service:
            return service

        passing = Passing(route, **{"most": 8, "most_each": 8} | bounds)
        listener = await asyncio.get_running_loop().create_server(passing, "127.0.0.1", 0)
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield listener.sockets[0].getsockname()
        finally:
            listener.close()
            passing.close()
            server.close()


async def echo_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.close()


def test_both_directions_are_whole_and_end_by_themselves() -> None:
    async def steps() -> None:
        async with passed(echo_at_the_end) as place:
            reader, writer = await asyncio.open_connection(*place)
            writer.write(MANY)
            writer.write_eof()
            assert await reader.read() == MANY

    asyncio.run(steps())


def test_a_service_is_slowed_down_by_who_does_not_read() -> None:
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(MANY[:100_000])
            await writer.drain()
            sent += 100_000

    async def steps() -> None:
        async with passed(flood) as place:
            _, writer = await asyncio.open_connection(*place, limit=1000)
            before = -1
            while sent != before or not sent:
                before = sent
                await asyncio.sleep(0.5)
            assert sent < 50_000_000
            writer.transport.abort()

    asyncio.run(steps())


def test_no_more_than_there_may_be() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"1")
        await reader.read()
        writer.close()

    async def steps() -> None:
        async with passed(hold, most_each=2) as place:
            kept = [await asyncio.open_connection(*place) for _ in range(2)]
            assert [await reader.read(1) for reader, _ in kept] == [b"1", b"1"]
            assert await refused(*place)
            kept[0][1].close()
            await kept[0][1].wait_closed()
            while await refused(*place):
                await asyncio.sleep(0.05)
            kept[1][1].close()

    asyncio.run(steps())


async def refused(host: str, port: int) -> bool:
    """Whether the connection ends without a byte."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
        came = await reader.read(1)
    except ConnectionResetError:
        return True
    writer.close()
    return came == b""


def test_a_service_that_dies_is_no_orderly_end() -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(4))
        await writer.drain()
        writer.transport.abort()

    async def steps() -> None:
        async with passed(die) as place:
            reader, writer = await asyncio.open_connection(*place)
            writer.write(MANY)
            with pytest.raises(ConnectionResetError):
                await reader.read()

    asyncio.run(steps())


def test_who_asks_decides_what_answers() -> None:
    """Two actions have different services on one port, a third has none, another is not known yet."""

    async def steps() -> None:
        gateway = Gateway("127.0.0.1")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("one", "two"):
                await asyncio.start_unix_server(saying(name), str(Path(folder, name)))
            port = await a_free_port()
            for name in ("one", "two"):
                await gateway.offer(name, (Service(name="s", socket=Path(folder, name), port=port),))
            asked = asyncio.create_task(said(port))
            await asyncio.sleep(0.1)
            gateway.admit("127.0.0.1", "one")
            assert await asked == b"one"
            gateway.dismiss("127.0.0.1")
            gateway.admit("127.0.0.1", "two")
            assert await said(port) == b"two"
            gateway.admit("127.0.0.1", "three")
            assert await said(port) == b""
            await gateway.offer("", (Service(name="s", socket=Path(folder, "one"), port=port),))
            assert await said(port) == b"one"
            gateway.close()

    asyncio.run(steps())


def saying(name: str) -> Handler:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name.encode())
        writer.close()

    return say


async def said(port: int) -> bytes:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
    except ConnectionResetError:
        return b""
    writer.close()
    return answer


async def a_free_port() -> int:
    server = await asyncio.start_server(saying(""), "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


def test_a_port_that_this_host_has_already_becomes_another_one() -> None:
    async def steps() -> None:
        gateway = Gateway("127.0.0.1")
        with tempfile.TemporaryDirectory() as folder:
            await asyncio.start_unix_server(saying("one"), str(Path(folder, "one")))
            other = await asyncio.start_server(saying("this host"), "0.0.0.0", 0)
            taken = other.sockets[0].getsockname()[1]
            await gateway.offer("one", (Service(name="s", socket=Path(folder, "one"), port=taken),))
            gateway.admit("127.0.0.1", "one")
            port = gateway.ports[taken]
            assert port != taken
            assert await said(port) == b"one"
            await gateway.offer("one", ())
            assert gateway.ports == {}
            gateway.close()
            other.close()

    asyncio.run(steps())
