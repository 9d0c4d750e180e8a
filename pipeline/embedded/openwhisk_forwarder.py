"""The one way from student code to OpenWhisk, embedded or real: a key of ours in, the namespace's own key out.

Passed on are invocations of named actions, and records, logs and results of the activations made here. Everything
else is refused in OpenWhisk's own words, so that every client of it understands. A body is read, bounded in size and
depth, and written anew: nothing else of a student's reaches a real server's parser.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from yarl import URL

from pipeline.embedded import asking
from pipeline.embedded.contract import Forwarded, Invoked, Invoking
from pipeline.embedded.forwarder import CONNECTIONS, Full
from pipeline.embedded.invocation_rules import OWN, authenticate, permitted
from pipeline.embedded.openwhisk.errors import ApiError
from pipeline.embedded.openwhisk.http import CORS, JSON, Call
from pipeline.embedded.openwhisk.json_text import compact
from pipeline.embedded.openwhisk.namespaces import Throttle
from pipeline.embedded.openwhisk.settings import MB, Settings

CONNECT_S, ANSWER_S = 10, 120
DEPTH = Settings.json_depth
LARGEST_ANSWER = 16 * MB
QUERY = ("blocking", "result", "timeout")
KEPT = ("Content-Type", "X-Request-ID", "x-openwhisk-activation-id", "Retry-After")
ACTIVATION = "x-openwhisk-activation-id"


@dataclass(frozen=True)
class Upstream:
    """An OpenWhisk: its address, the namespace's key, and how its certificate is checked."""

    apihost: str
    auth: str
    verify: ssl.SSLContext | bool = True


@dataclass
class Made:
    """What was passed on until now; `ids` are the activations, `uncertain` so many that may have been made besides."""

    ids: list[str]
    counts: Forwarded
    uncertain: int = 0


class OpenWhiskForwarder:
    """Listens on a Unix socket. `changed` is called when an activation was accepted."""

    def __init__(
        self, socket: Path, upstream: Upstream, rule: Invoking, auth: str, made: Made, changed: Callable[[], None]
    ) -> None:
        self.socket = socket
        self.upstream = upstream
        self.rule = rule
        self.auth = auth
        self.ids = made.ids
        self.own = set(made.ids)
        self.changed = changed
        self.before = made.counts
        self.uncertain = made.uncertain
        self.pending = 0
        self.requests = self.refused = self.sent = self.received = 0
        self.seconds = 0.0
        self.throttle = throttle(rule)
        self.session: aiohttp.ClientSession | None = None
        self.runner: web.AppRunner | None = None
        self.server: asyncio.Server | None = None

    @property
    def counts(self) -> Forwarded:
        return Forwarded(
            requests=self.before.requests + self.requests,
            refused=self.before.refused + self.refused,
            bytes_sent=self.before.bytes_sent + self.sent,
            bytes_received=self.before.bytes_received + self.received,
            seconds=round(self.before.seconds + self.seconds, 6),
        )

    @property
    def invoked(self) -> Invoked:
        return Invoked(passed=self.counts, invocations=len(self.ids) + self.uncertain)

    def replace(self, rule: Invoking) -> None:
        self.rule, self.throttle = rule, throttle(rule)

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self.upstream.verify)
        self.session = asking.session(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), connector=connector)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
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
        call, begun = Call(request), time.monotonic()
        try:
            authenticate(request.headers.get("Authorization", ""), self.auth, self.rule.expires)
            path = permitted(call.method, call.segments, self.rule.actions, self.own)
            self.check_caps(request)
            if not path:
                return call.answer([OWN])
            self.requests += 1
            return await (self.invoke(call, path) if call.method == "POST" else self.send(call, path, None))
        except ApiError as error:
            self.refused += 1
            answer = call.error(error)
            answer.force_close()  # what is left of a body is not read
            return answer
        finally:
            self.seconds += time.monotonic() - begun

    def check_caps(self, request: web.Request) -> None:
        counts, rule = self.counts, self.rule
        if counts.requests >= rule.requests:
            raise ApiError(HTTPStatus.FORBIDDEN, f"This key may send {rule.requests} requests, and has sent them.")
        moved = counts.bytes_sent + counts.bytes_received + (request.content_length or 0)
        if moved > rule.bytes_total:
            raise ApiError(HTTPStatus.FORBIDDEN, f"This key may move {rule.bytes_total} bytes, and would move {moved}.")

    async def invoke(self, call: Call, path: str) -> web.Response:
        """Counts against the cap what OpenWhisk has accepted, and what it may have accepted."""
        self.throttle.check(self.rule.name)
        payload = await call.body(limit=MB, depth=DEPTH, optional=True)
        used, allowed = len(self.ids) + self.uncertain + self.pending, self.rule.invocations
        if used >= allowed:
            text = f"This key may start {allowed} activations, and has started {used}."
            raise ApiError(HTTPStatus.FORBIDDEN, text)
        query = urlencode([(name, value) for name in QUERY if (value := call.word(name)) is not None])
        self.pending += 1
        try:
            answer = await self.send(call, f"{path}?{query}" if query else path, compact(payload).encode())
        except ApiError as error:
            self.uncertain += not isinstance(error, NotReachedError)
            raise
        finally:
            self.pending -= 1
        self.note(answer)
        return answer

    def note(self, answer: web.Response) -> None:
        """Remembers an activation; a proxy's bad gateway says nothing of whether there is one."""
        activation = answer.headers.get(ACTIVATION) or named_in(answer)
        if activation and activation not in self.own:
            self.ids.append(activation)
            self.own.add(activation)
            self.changed()
        elif not activation and answer.status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT):
            self.uncertain += 1

    async def send(self, call: Call, path: str, body: bytes | None) -> web.Response:
        """Asks OpenWhisk with its own key. Raises ApiError (503) where it does not answer, (403) past the caps."""
        assert self.session is not None, "started"
        url = URL(f"{self.upstream.apihost}/api/v1/namespaces/{OWN}/{path}", encoded=True)
        encoded = base64.b64encode(self.upstream.auth.encode()).decode()
        headers = {"Authorization": f"Basic {encoded}", "Accept": JSON}
        if body is not None:
            headers["Content-Type"] = JSON
            self.sent += len(body)
        try:
            async with self.session.request(
                call.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                content = await self.read(answer)
                kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
                return web.Response(status=answer.status, body=content, headers={**CORS, **kept})
        except aiohttp.ClientConnectorError:
            raise NotReachedError(HTTPStatus.SERVICE_UNAVAILABLE, "OpenWhisk cannot be reached.") from None
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "OpenWhisk did not answer.") from None

    async def read(self, answer: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in answer.content.iter_any():
            content += chunk
            self.received += len(chunk)
            if len(content) > LARGEST_ANSWER or self.moved > self.rule.bytes_total:
                raise ApiError(HTTPStatus.FORBIDDEN, "The answer is larger than what this key may still move.")
        return bytes(content)

    @property
    def moved(self) -> int:
        return self.counts.bytes_sent + self.counts.bytes_received


class NotReachedError(ApiError):
    """There was no connection: nothing can have been started. After every other failure something may have been."""


def throttle(rule: Invoking) -> Throttle:
    return Throttle(Settings(pool_mb=0, invocations_per_minute=rule.per_minute))


def named_in(answer: web.Response) -> str:
    """The activation that an answer's body names; empty where it names none."""
    try:
        content = json.loads(answer.body) if isinstance(answer.body, bytes) else None
    except ValueError:
        return ""
    found = content.get("activationId") if isinstance(content, dict) else None
    return found if isinstance(found, str) and answer.status == HTTPStatus.ACCEPTED else ""
