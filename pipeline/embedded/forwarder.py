"""A forwarder: the one way from containers to a store. It passes on what a rule allows, within caps, and counts.

The Host header is kept, so that signatures of URLs hold. Refusals are S3's own errors, which every client understands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from yarl import URL

from pipeline.embedded.contract import Forwarded

CHUNK = 256 * 1024
CONNECT_S, SILENCE_S = 10, 120
HEADER_BYTES = 16 * 1024
HOP_BY_HOP = {"connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}


@dataclass(frozen=True)
class Rule:
    """(method, path) pairs that pass: equal paths when `exact`, else paths that begin so."""

    allowed: tuple[tuple[str, str], ...]
    exact: bool = False

    def allows(self, method: str, path: str) -> bool:
        """`path` as it stands in the request, without the query. Dots that climb never pass."""
        if any(part in {"..", "."} for part in URL.build(path=path, encoded=True).path.split("/")):
            return False
        return any(
            method == verb and (path == place if self.exact else path.startswith(place)) for verb, place in self.allowed
        )


@dataclass(frozen=True)
class Caps:
    """Of all requests together; `bytes_total` counts bodies of both directions."""

    requests: int
    bytes_total: int


class CapError(Exception):
    """A cap is met."""


class Forwarder:
    """Listens on a Unix socket and passes on to `upstream` (host, port)."""

    def __init__(self, socket: Path, upstream: tuple[str, int], rule: Rule, caps: Caps) -> None:
        self.socket = socket
        self.upstream = f"http://{upstream[0]}:{upstream[1]}"
        self.rule = rule
        self.caps = caps
        self.requests = self.sent = self.received = 0
        self.seconds = 0.0
        self.runner: web.AppRunner | None = None
        self.session: aiohttp.ClientSession | None = None

    @property
    def counts(self) -> Forwarded:
        return Forwarded(
            requests=self.requests,
            bytes_sent=self.sent,
            bytes_received=self.received,
            seconds=round(self.seconds, 6),
        )

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        self.session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self.runner = web.AppRunner(
            app, access_log=None, max_line_size=HEADER_BYTES, max_field_size=HEADER_BYTES, shutdown_timeout=1.0
        )
        await self.runner.setup()
        await web.UnixSite(self.runner, str(self.socket)).start()

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
        if self.session is not None:
            await self.session.close()
        self.socket.unlink(missing_ok=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if not self.rule.allows(request.method, path):
            return refusal(403, "AccessDenied", "this run may not do that", path)
        self.requests += 1
        if self.requests > self.caps.requests:
            return refusal(503, "SlowDown", f"the run has made its {self.caps.requests} requests", path)
        if self.sent + self.received + (request.content_length or 0) > self.caps.bytes_total:
            return refusal(403, "QuotaExceeded", f"the run has moved its {self.caps.bytes_total} bytes", path)
        begun = time.monotonic()
        try:
            return await self.pass_on(request)
        except CapError:
            return refusal(403, "QuotaExceeded", f"the run has moved its {self.caps.bytes_total} bytes", path)
        except (aiohttp.ClientError, TimeoutError):
            return refusal(503, "ServiceUnavailable", "the store does not answer", path)
        finally:
            self.seconds += time.monotonic() - begun

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self.session is not None, "started"
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body = self.upload(request) if request.body_exists else None
        url = URL(self.upstream + request.raw_path, encoded=True)
        async with self.session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            if response.headers.get("Content-Type", "").startswith("text/xml"):
                response.headers["Content-Type"] = "application/xml"
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(CHUNK):
                self.received += len(chunk)
                if self.sent + self.received > self.caps.bytes_total:
                    raise asyncio.CancelledError  # the reader sees a cut answer, never a whole one that is wrong
                await response.write(chunk)
            await response.write_eof()
            return response

    async def upload(self, request: web.Request) -> AsyncIterator[bytes]:
        async for chunk in request.content.iter_chunked(CHUNK):
            self.sent += len(chunk)
            if self.sent + self.received > self.caps.bytes_total:
                raise CapError
            yield chunk


def refusal(status: int, code: str, message: str, path: str) -> web.Response:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{escape(message)}</Message>'
        f"<Resource>{escape(path)}</Resource><RequestId>forwarder</RequestId></Error>"
    )
    return web.Response(status=status, text=text, content_type="application/xml")
