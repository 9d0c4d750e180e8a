"""A forwarder: the one way from containers to a store. It passes on what a rule allows, within caps, and counts.

The Host header is kept, so that signatures of URLs hold. Refusals are S3's own errors, which every client understands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from yarl import URL

from pipeline.embedded.contract import Forwarded

CHUNK = 256 * 1024
CONNECT_S, SILENCE_S = 10, 120
HEADER_BYTES = 16 * 1024
CONNECTIONS = 128
"""At a time; a program that opens more only keeps itself waiting."""
COPY_SOURCE = "x-amz-copy-source"
NOT_PASSED = {"connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True)
class Rule:
    """(method, path) pairs that pass: equal paths when `exact`, else paths that begin so."""

    allowed: tuple[tuple[str, str], ...]
    exact: bool = False

    def allows(self, method: str, path: str) -> bool:
        """`path` as it stands in the request, without the query. Dots that climb never pass, however written."""
        if any(part in {"..", "."} for part in unquote(path).replace("\\", "/").split("/")):
            return False
        return any(
            method == verb and (path == place if self.exact else path.startswith(place)) for verb, place in self.allowed
        )

    def allows_copy(self, source: str) -> bool:
        """An object copied by the store is read as much as one that is fetched."""
        return self.allows("GET", "/" + source.partition("?")[0].lstrip("/"))


@dataclass(frozen=True)
class Caps:
    """Of all requests together; `bytes_total` counts bodies of both directions, `bytes_sent` those to the store."""

    requests: int
    bytes_total: int
    bytes_sent: int | None = None

    def are_over(self, sent: int, received: int) -> bool:
        return sent + received > self.bytes_total or (self.bytes_sent is not None and sent > self.bytes_sent)


class Full(asyncio.Protocol):
    """What a connection gets that is one too many: its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a stream"
        transport.abort()


class Forwarder:
    """Listens on a Unix socket and passes on to `upstream` (host, port), which is the only place it connects to."""

    def __init__(self, socket: Path, upstream: tuple[str, int], rule: Rule, caps: Caps) -> None:
        self.socket = socket
        self.upstream = f"http://{upstream[0]}:{upstream[1]}"
        self.rule = rule
        self.caps = caps
        self.requests = self.refused = self.sent = self.received = 0
        self.seconds = 0.0
        self.server: asyncio.Server | None = None
        self.runner: web.AppRunner | None = None
        self.session: aiohttp.ClientSession | None = None

    @property
    def counts(self) -> Forwarded:
        return Forwarded(
            requests=self.requests,
            refused=self.refused,
            bytes_sent=self.sent,
            bytes_received=self.received,
            seconds=round(self.seconds, 6),
        )

    @property
    def used_up(self) -> bool:
        return self.caps.are_over(self.sent, self.received)

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        self.session = aiohttp.ClientSession(
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            skip_auto_headers=NOT_ADDED,
        )
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self.runner = web.AppRunner(
            app, access_log=None, max_line_size=HEADER_BYTES, max_field_size=HEADER_BYTES, shutdown_timeout=1.0
        )
        await self.runner.setup()
        self.server = await asyncio.get_running_loop().create_unix_server(self.connection, str(self.socket))

    def connection(self) -> asyncio.Protocol:
        assert self.runner is not None and self.runner.server is not None, "started"
        return self.runner.server() if len(self.runner.server.connections) < CONNECTIONS else Full()

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        if self.runner is not None:
            await self.runner.cleanup()
        if self.session is not None:
            await self.session.close()
        self.socket.unlink(missing_ok=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        refusal = self.refusal(request)
        if refusal is not None:
            self.refused += 1
            return refusal
        self.requests += 1
        begun = time.monotonic()
        try:
            return await self.pass_on(request)
        except (aiohttp.ClientError, OSError, TimeoutError):
            if self.used_up:
                self.refused += 1
                return self.over(request)
            return error(503, "ServiceUnavailable", "the store does not answer", request)
        finally:
            self.seconds += time.monotonic() - begun

    def refusal(self, request: web.Request) -> web.Response | None:
        """What is wrong with a request before any of its body is read; None when it passes."""
        source = request.headers.get(COPY_SOURCE)
        allowed = self.rule.allows(request.method, request.raw_path.partition("?")[0])
        if not allowed or (source is not None and not self.rule.allows_copy(source)):
            return error(403, "AccessDenied", "this run may not do that", request)
        if request.body_exists and request.content_length is None:
            return error(411, "MissingContentLength", "a body needs its length", request)
        if self.requests >= self.caps.requests:
            return error(503, "SlowDown", f"the run has made its {self.caps.requests} requests", request)
        if self.caps.are_over(self.sent + (request.content_length or 0), self.received):
            return self.over(request)
        return None

    def over(self, request: web.Request) -> web.Response:
        return error(403, "QuotaExceeded", "the run has moved all bytes that it may", request)

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self.session is not None, "started"
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in NOT_PASSED]
        body = self.upload(request) if request.body_exists else None
        url = URL(self.upstream + request.raw_path, encoded=True)
        async with self.session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in NOT_PASSED:
                    response.headers.add(name, value)
            if response.headers.get("Content-Type", "").startswith("text/xml"):
                response.headers["Content-Type"] = "application/xml"
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(CHUNK):
                self.received += len(chunk)
                async with asyncio.timeout(SILENCE_S):
                    await response.write(chunk)
                if self.used_up and request.transport is not None:
                    # the reader sees a cut answer, never a whole one that is wrong
                    request.transport.abort()
                    return response
            await response.write_eof()
            return response

    async def upload(self, request: web.Request) -> AsyncIterator[bytes]:
        while True:
            async with asyncio.timeout(SILENCE_S):
                chunk = await request.content.readany()
            if not chunk:
                return
            self.sent += len(chunk)
            if self.used_up:
                raise OSError("the cap is met")
            yield chunk


def error(status: int, code: str, message: str, request: web.Request) -> web.Response:
    """In S3's form. The connection ends with it: what is left of a body is not read."""
    path = request.raw_path.partition("?")[0]
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{escape(message)}</Message>'
        f"<Resource>{escape(path)}</Resource><RequestId>forwarder</RequestId></Error>"
    )
    response = web.Response(status=status, text=text, content_type="application/xml")
    response.force_close()
    return response
