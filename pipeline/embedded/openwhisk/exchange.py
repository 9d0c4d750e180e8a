"""One HTTP exchange with a container: a POST of JSON on a connection of its own.

The container protocol knows no connection reuse and no chunked replies, so that the whole client is this file; a
general client would cost most of the time of a warm call.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from pipeline.embedded.openwhisk.containers import NoReplyError, NoReplyInTimeError, Reply
from pipeline.faults import point

Address = Path | tuple[str, int]
"""A Unix socket, or host and port."""

HEADERS_LIMIT = 64 * 1024
RETRY_S, OFTEN_S = 0.05, 0.004
"""Between two tries to connect; a new container is asked often, since it is about to listen."""
OFTEN = 250
LAST_WORDS_S = 0.05


class _ReplyReader(asyncio.Protocol):
    """Collects one reply; bytes of the body beyond `limit` are not waited for."""

    def __init__(self, request: bytes, limit: int) -> None:
        self.done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._request = request
        self._limit = limit
        self._received = bytearray()
        self._body_at = 0
        self._head: tuple[int, dict[str, str], int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self.done.done():
            return
        if self._head is None and not self._read_head():
            return
        assert self._head is not None
        status, headers, length = self._head
        if len(self._received) - self._body_at >= min(length, self._limit):
            body = bytes(self._received[self._body_at : self._body_at + min(length, self._limit)])
            self.done.set_result(Reply(status, headers, body, length))

    def connection_lost(self, _: Exception | None) -> None:
        self.fail("the connection ended without a reply")

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(NoReplyError(reason))
            # nobody asks where the time was over while the connection was made; that is no mistake to log
            self.done.exception()

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > HEADERS_LIMIT:
                self.fail("the reply's headers have no end")
            return False
        first, *lines = bytes(self._received[:end]).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        version, _, status = first.partition(" ")
        length = headers.get("content-length", "")
        if not version.startswith("HTTP/1.") or not status[:3].isdecimal():
            self.fail("the reply is not HTTP")
        elif length.isdecimal() and len(length) < 16:
            self._head, self._body_at = (int(status[:3]), headers, int(length)), end + 4
            return True
        elif status[:3] == "204":
            self._head, self._body_at = (204, headers, 0), end + 4
            return True
        else:
            self.fail("the reply has no Content-Length")
        return False


async def post(
    address: Address, path: str, body: bytes, *, timeout_s: float, reply_limit: int, ended: asyncio.Future[Any]
) -> Reply:
    """POSTs `body`, trying again while the connection is refused: every 4 ms for about a second, then every 50 ms.

    `ended` is done when the container has ended: a listening socket that outlives it would accept a connection
    that nobody serves. Raises NoReplyError, NoReplyInTimeError (see containers.py).
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _post(address, path, body, reply_limit, ended)
    except TimeoutError:
        raise NoReplyInTimeError(f"no reply within {timeout_s:g} s") from None


async def _post(address: Address, path: str, body: bytes, reply_limit: int, ended: asyncio.Future[Any]) -> Reply:
    host = "action" if isinstance(address, Path) else f"{address[0]}:{address[1]}"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nUser-Agent: openwhisk-invoker\r\n\r\n"
    )
    point(f"request POST {path}")
    transport, reader = await _connected(address, lambda: _ReplyReader(head.encode() + body, reply_limit), ended)

    def on_end(_: asyncio.Future[Any]) -> None:
        # what it sent before its end may still be on the way
        asyncio.get_running_loop().call_later(LAST_WORDS_S, reader.fail, "the container has ended")

    ended.add_done_callback(on_end)
    try:
        return await reader.done
    finally:
        ended.remove_done_callback(on_end)
        transport.abort()


async def _connected(
    address: Address, factory: Callable[[], _ReplyReader], ended: asyncio.Future[Any]
) -> tuple[asyncio.Transport, _ReplyReader]:
    tries = 0
    while True:
        try:
            return await _connected_once(address, factory, ended)
        except OSError as error:
            if ended.done():
                raise NoReplyError(f"the container has ended: {error.strerror}") from None
            tries += 1
            await asyncio.sleep(OFTEN_S if tries < OFTEN else RETRY_S)


async def _connected_once(
    address: Address, factory: Callable[[], _ReplyReader], ended: asyncio.Future[Any]
) -> tuple[asyncio.Transport, _ReplyReader]:
    """To an address whose container is gone the system tries for seconds: its end ends that. Raises OSError."""
    if isinstance(address, Path):
        return await _connect(address, factory)
    connecting = asyncio.ensure_future(_connect(address, factory))
    try:
        await asyncio.wait({connecting, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            raise OSError(errno.ECONNREFUSED, "nobody is left to connect to")
        return connecting.result()
    finally:
        connecting.cancel()


def _connect(
    address: Address, factory: Callable[[], _ReplyReader]
) -> Coroutine[Any, Any, tuple[asyncio.Transport, _ReplyReader]]:
    loop = asyncio.get_running_loop()
    if isinstance(address, Path):
        return loop.create_unix_connection(factory, str(address))
    return loop.create_connection(factory, *address)
