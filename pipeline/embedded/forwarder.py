"""A forwarder: the one way from containers to a store. It passes on what a rule allows, within caps, and counts.

The Host header is kept, so that signatures of URLs hold. Refusals are S3's own errors, which every client understands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from pipeline.embedded import asking
from pipeline.embedded.bucket_guard import BucketGuard
from pipeline.embedded.contract import Forwarded
from pipeline.embedded.s3_errors import Refusal
from pipeline.embedded.store_keys import Keys
from pipeline.embedded.store_rules import OwnBucket, Ruling, asked
from pipeline.embedded.upstreams import Upstream

CHUNK = 256 * 1024
CONNECT_S, SILENCE_S = 10, 120
HEADER_BYTES = 16 * 1024
CONNECTIONS = 128
"""At a time; a program that opens more only keeps itself waiting."""
NOT_PASSED = {"connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
MOVED = Refusal(403, "QuotaExceeded", "the run has moved all bytes that it may")
NO_ANSWER = Refusal(503, "ServiceUnavailable", "the store does not answer")


@dataclass(frozen=True)
class Caps:
    """Of all requests together; `bytes_total` counts bodies of both directions, `bytes_sent` those to the store."""

    requests: int
    bytes_total: int
    bytes_sent: int | None = None

    def are_over(self, sent: int, received: int) -> bool:
        return sent + received > self.bytes_total or (self.bytes_sent is not None and sent > self.bytes_sent)


@dataclass
class Terms:
    """On which a forwarder passes on: what, how much, for whom, and what is asked before something is put."""

    rule: Ruling
    caps: Caps
    keys: Keys
    guard: BucketGuard | None = None


class Full(asyncio.Protocol):
    """What a connection gets that is one too many: its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a stream"
        transport.abort()


class Forwarder:
    """Listens on a Unix socket and passes on to `upstream`, which is the only place it connects to."""

    def __init__(self, socket: Path, upstream: Upstream, terms: Terms) -> None:
        self.socket = socket
        self.upstream = upstream
        self.terms = terms
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
        return self.terms.caps.are_over(self.sent, self.received)

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        self.session = asking.session(
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self.upstream.verify),
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
            return self.refuse(request, refusal)
        self.requests += 1
        begun = time.monotonic()
        try:
            return await self.guarded(request)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return self.refuse(request, MOVED) if self.used_up else NO_ANSWER.answer(request)
        finally:
            self.seconds += time.monotonic() - begun

    def refuse(self, request: web.Request, refusal: Refusal) -> web.Response:
        self.refused += 1
        return refusal.answer(request)

    def refusal(self, request: web.Request) -> Refusal | None:
        """What is wrong with a request before any of its body is read; None when it passes."""
        wanted, caps, not_done = asked(request), self.terms.caps, self.upstream.not_done
        found = self.terms.keys.refusal(request) or self.terms.rule.refusal(wanted)
        if found is None and not_done is not None:
            found = not_done(wanted, frozenset(name.lower() for name in request.headers))
        if found is not None:
            return found
        if request.body_exists and request.content_length is None:
            return Refusal(411, "MissingContentLength", "a body needs its length")
        if self.requests >= caps.requests:
            return Refusal(503, "SlowDown", f"the run has made its {caps.requests} requests")
        return MOVED if caps.are_over(self.sent + (request.content_length or 0), self.received) else None

    async def guarded(self, request: web.Request) -> web.StreamResponse:
        guard = self.terms.guard
        if guard is None:
            return await self.pass_on(request)
        upload = request.query.get("uploadId", "")
        admitted = await guard.admit(asked(request), request.content_length or 0, upload)
        if isinstance(admitted, Refusal):
            self.requests -= 1
            return self.refuse(request, admitted)
        status = 0
        try:
            answer = await self.pass_on(request)
            status = answer.status
            return answer
        finally:
            guard.ended(admitted, status)

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self.session is not None, "started"
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in NOT_PASSED]
        headers += self.terms.keys.added(request)
        body = self.upload(request) if request.body_exists else None
        url = URL(self.upstream.url + request.raw_path, encoded=True)
        async with self.session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            if answer.status == 409 and self.is_there_already(request):
                return web.Response(headers={"Location": request.path})
            return await self.bring_back(request, answer)

    def is_there_already(self, request: web.Request) -> bool:
        """A program that makes its bucket need not know that it has one."""
        rule = self.terms.rule
        return isinstance(rule, OwnBucket) and rule.makes(asked(request))

    async def bring_back(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
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
