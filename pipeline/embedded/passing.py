"""Connections passed on to services, both ways: as fast as the slower side takes them, each direction ending by itself.

A listener's protocol factory is a `Passing`; where a connection goes is asked once it is there, so that one port can
lead to several services.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pipeline.embedded.contract import Service

Route = Callable[[str, int], Awaitable[Service | None]]
"""From a peer's address and the port that it asks, empty and 0 on a Unix socket, to its service; None: it has none."""
RESET = struct.pack("ii", 1, 0)


class End(asyncio.Protocol):
    """One end: what it receives the other sends, and it receives no faster than that."""

    def __init__(self, made: Callable[[End], None], lost: Callable[[End], None]) -> None:
        self.made = made
        self.lost = lost
        self.transport: asyncio.Transport
        self.other: End | None = None
        self.received_all = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()
        self.made(self)

    def join(self, other: End) -> None:
        self.other, other.other = other, self
        for end in (self, other):
            end.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """The other direction goes on until it has ended too."""
        self.received_all = True
        if self.other is None or self.other.received_all:
            return False
        with suppress(OSError):
            self.other.transport.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.reset() if error else self.other.transport.close()
        self.lost(self)

    def reset(self) -> None:
        """Ends it at once and without a word, as a port does on which nobody listens."""
        raw = self.transport.get_extra_info("socket")
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


class Passing:
    """A protocol factory for listeners; `most` connections at a time, `most_each` of one peer: more are reset."""

    def __init__(self, route: Route, *, most: int, most_each: int) -> None:
        self.route = route
        self.most = most
        self.most_each = most_each
        self.peers: dict[End, str] = {}
        self.connected: Counter[str] = Counter()
        self.joining: set[asyncio.Task[None]] = set()

    def __call__(self) -> End:
        return End(self.made, self.lost)

    @property
    def in_use(self) -> bool:
        return bool(self.peers)

    def made(self, end: End) -> None:
        peer, _ = whereabouts(end, "peername")
        full = len(self.peers) >= self.most or self.connected[peer] >= self.most_each
        self.peers[end] = peer
        self.connected[peer] += 1
        if full:
            end.reset()
            return
        task = asyncio.get_running_loop().create_task(self.join(end, peer))
        self.joining.add(task)
        task.add_done_callback(self.joining.discard)

    async def join(self, end: End, peer: str) -> None:
        service = await self.route(peer, whereabouts(end, "sockname")[1])
        other = None if service is None else await connected(service)
        if other is None:
            end.reset()
        elif end.transport.is_closing():
            other.transport.abort()
        else:
            end.join(other)

    def lost(self, end: End) -> None:
        peer = self.peers.pop(end)
        self.connected[peer] -= 1
        if not self.connected[peer]:
            del self.connected[peer]

    def end(self, peer: str | None = None) -> None:
        """Resets the connections of one peer, of all where none is named."""
        for one in [one for one, whose in self.peers.items() if peer in (None, whose)]:
            one.reset()

    def close(self) -> None:
        for task in self.joining:
            task.cancel()
        self.end()


def whereabouts(end: End, which: str) -> tuple[str, int]:
    name = end.transport.get_extra_info(which)
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else ("", 0)


async def connected(service: Service) -> End | None:
    """None where the service is gone."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        if service.socket is not None:
            return (await loop.create_unix_connection(plain_end, str(service.socket)))[1]
        host, port = address_of(service.target)
        return (await loop.create_connection(plain_end, host, port))[1]
    return None


def plain_end() -> End:
    return End(ignore, ignore)


def ignore(_: End) -> None:
    """Nobody counts the end that leads to a service: it goes with the other one."""


def address_of(target: str) -> tuple[str, int]:
    """host:port. Raises ValueError."""
    host, _, port = target.rpartition(":")
    return host, int(port)
