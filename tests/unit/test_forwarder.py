"""A forwarder as a client of the store meets it: what passes, what is refused, what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from pipeline.embedded import forwarder as module
from pipeline.embedded.forwarder import Caps, Forwarder, Terms
from pipeline.embedded.store_keys import Keys
from pipeline.embedded.store_rules import Rule, Ruling
from pipeline.embedded.upstreams import Upstream as Leading

BUCKET = Rule((("GET", "/own/"), ("PUT", "/own/")))
ANYONE = Keys()
ROOMY = Caps(requests=100, bytes_total=10**7)


class Upstream:
    """Stands for the store: keeps what it was sent, answers as it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.response: Callable[[], web.Response] = lambda: web.Response(body=b"stored")

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, request.raw_path, dict(request.headers), body))
        return self.response()


@asynccontextmanager
async def forwarding(
    tmp_path: Path, upstream: Upstream, rule: Ruling = BUCKET, caps: Caps = ROOMY, keys: Keys = ANYONE
) -> AsyncIterator[tuple[Forwarder, aiohttp.ClientSession]]:
    runner = web.ServerRunner(web.Server(upstream.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    forwarder = Forwarder(tmp_path / "f", Leading(f"http://{host}:{port}"), Terms(rule, caps, keys))
    await forwarder.start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "f"))) as session:
        yield forwarder, session
    await forwarder.stop()
    await runner.cleanup()


def with_forwarder(
    tmp_path: Path,
    upstream: Upstream,
    steps: Callable[[Forwarder, aiohttp.ClientSession], Awaitable[None]],
    rule: Ruling = BUCKET,
    caps: Caps = ROOMY,
    keys: Keys = ANYONE,
) -> None:
    async def run() -> None:
        async with forwarding(tmp_path, upstream, rule, caps, keys) as (forwarder, session):
            await steps(forwarder, session)

    asyncio.run(run())


async def code_of(response: aiohttp.ClientResponse) -> str:
    assert response.content_type == "application/xml"
    return ElementTree.fromstring(await response.text()).findtext("Code") or ""


def test_a_request_passes_as_it_was_signed_and_is_counted(tmp_path: Path) -> None:
    upstream = Upstream()

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        headers = {"Host": "127.0.0.1:9000", "Authorization": "signed"}
        url = "http://127.0.0.1:9000/own/a%20b?X-Amz-Signature=1%2F2"
        async with session.put(URL(url, encoded=True), data=b"12345", headers=headers) as response:
            assert (response.status, await response.read()) == (200, b"stored")
        counts = forwarder.counts
        assert (counts.requests, counts.refused, counts.bytes_sent, counts.bytes_received) == (1, 0, 5, 6)
        assert counts.seconds > 0

    with_forwarder(tmp_path, upstream, steps)
    method, path, headers, body = upstream.seen[0]
    assert (method, path, body) == ("PUT", "/own/a%20b?X-Amz-Signature=1%2F2", b"12345")
    assert headers["Host"] == "127.0.0.1:9000"
    assert headers["Authorization"] == "signed"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/other/x"),
        ("GET", "/ownother/x"),
        ("DELETE", "/own/x"),
        ("GET", "/own/../other/x"),
        ("GET", "/own/%2e%2E/other/x"),
        ("GET", "/own/%2e%2e%2fother/x"),
        ("GET", "/own/..%5cother/x"),
        ("GET", "//other/own/x"),
    ],
)
def test_what_no_rule_allows_does_not_reach_the_store(method: str, path: str, tmp_path: Path) -> None:
    upstream = Upstream()

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        async with session.request(method, URL(f"http://store{path}", encoded=True)) as response:
            assert response.status == 403
            assert await code_of(response) == "AccessDenied"
        assert forwarder.counts.refused == 1

    with_forwarder(tmp_path, upstream, steps)
    assert upstream.seen == []


def test_an_exact_rule_lets_nothing_pass_that_only_begins_so() -> None:
    rule = Rule((("GET", "/own/inputs"), ("PUT", "/own/answer")), exact=True)
    assert rule.allows("GET", "/own/inputs")
    assert not rule.allows("GET", "/own/inputs2")
    assert not rule.allows("GET", "/own/answer")


@pytest.mark.parametrize("source", ["/own/labels", "own/labels", "/own/%6cabels", "own/labels?versionId=1"])
def test_the_store_copies_nothing_that_could_not_be_fetched(source: str, tmp_path: Path) -> None:
    upstream = Upstream()
    rule = Rule((("GET", "/own/inputs"), ("PUT", "/own/answer")), exact=True)

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        async with session.put("http://store/own/answer", headers={"X-Amz-Copy-Source": source}) as response:
            assert response.status == 403
        async with session.put("http://store/own/answer", headers={"X-Amz-Copy-Source": "/own/inputs"}) as response:
            assert response.status == 200

    with_forwarder(tmp_path, upstream, steps, rule)
    assert len(upstream.seen) == 1


def test_requests_beyond_the_cap_are_refused_and_not_counted_as_passed(tmp_path: Path) -> None:
    upstream = Upstream()

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        statuses = []
        for _ in range(4):
            async with session.get("http://store/own/x") as response:
                statuses.append((response.status, await code_of(response) if response.status != 200 else ""))
        assert statuses == [(200, ""), (200, ""), (503, "SlowDown"), (503, "SlowDown")]
        assert (forwarder.counts.requests, forwarder.counts.refused) == (2, 2)

    with_forwarder(tmp_path, upstream, steps, caps=Caps(requests=2, bytes_total=10**6))


def test_an_upload_beyond_the_cap_does_not_reach_the_store_whole(tmp_path: Path) -> None:
    upstream = Upstream()

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        async with session.put("http://store/own/x", data=bytes(600)) as response:
            assert response.status == 200
        async with session.put("http://store/own/y", data=bytes(600)) as response:
            assert (response.status, await code_of(response)) == (403, "QuotaExceeded")
        assert forwarder.counts.bytes_sent == 600

    with_forwarder(tmp_path, upstream, steps, caps=Caps(requests=9, bytes_total=1000))
    assert [path for _, path, *_ in upstream.seen] == ["/own/x"]


def test_what_is_put_has_a_cap_of_its_own(tmp_path: Path) -> None:
    upstream = Upstream()

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        async with session.put("http://store/own/x", data=bytes(101)) as response:
            assert (response.status, await code_of(response)) == (403, "QuotaExceeded")
        async with session.put("http://store/own/x", data=bytes(100)) as response:
            assert response.status == 200
        async with session.get("http://store/own/x") as response:
            assert response.status == 200

    with_forwarder(tmp_path, upstream, steps, caps=Caps(requests=9, bytes_total=10**6, bytes_sent=100))


def test_an_answer_beyond_the_cap_never_looks_whole(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.response = lambda: web.Response(body=bytes(2_000_000))

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        with pytest.raises(aiohttp.ClientError):
            async with session.get("http://store/own/x") as response:
                await response.read()
        async with session.get("http://store/own/x") as response:
            assert await code_of(response) == "QuotaExceeded"

    with_forwarder(tmp_path, upstream, steps, caps=Caps(requests=9, bytes_total=1_000_000))


def test_a_body_without_a_length_is_refused(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"a"

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        async with session.put("http://store/own/x", data=endless()) as response:
            assert (response.status, await code_of(response)) == (411, "MissingContentLength")

    with_forwarder(tmp_path, Upstream(), steps)


def test_the_store_s_errors_are_named_as_xml_and_a_redirect_is_not_followed(tmp_path: Path) -> None:
    upstream = Upstream()

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        text = "<Error><Code>NoSuchKey</Code></Error>"
        upstream.response = lambda: web.Response(status=404, text=text, content_type="text/xml")
        async with session.get("http://store/own/x") as response:
            assert (response.status, await code_of(response)) == (404, "NoSuchKey")
        upstream.response = lambda: web.Response(status=307, headers={"Location": "http://127.0.0.1:1/other"})
        async with session.get("http://store/own/x", allow_redirects=False) as response:
            assert response.status == 307

    with_forwarder(tmp_path, upstream, steps)
    assert len(upstream.seen) == 2


def test_a_store_that_is_gone_is_an_error_that_clients_know(tmp_path: Path) -> None:
    async def run() -> None:
        unused = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        address = unused.sockets[0].getsockname()
        unused.close()
        forwarder = Forwarder(tmp_path / "f", Leading("http://{}:{}".format(*address)), Terms(BUCKET, ROOMY, ANYONE))
        await forwarder.start()
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "f"))) as session,
            session.get("http://store/own/x") as response,
        ):
            assert (response.status, await code_of(response)) == (503, "ServiceUnavailable")
        await forwarder.stop()

    asyncio.run(run())
    assert not (tmp_path / "f").exists()


def test_connections_that_say_nothing_do_not_use_up_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 4)

    async def steps(forwarder: Forwarder, session: aiohttp.ClientSession) -> None:
        silent = [await asyncio.open_unix_connection(str(forwarder.socket)) for _ in range(4)]
        reader, writer = await asyncio.open_unix_connection(str(forwarder.socket))
        async with asyncio.timeout(30):
            assert await ended(reader)
        for _, one in [*silent, (reader, writer)]:
            one.close()
        async with asyncio.timeout(30):
            while not await answered(session):
                await asyncio.sleep(0.05)

    with_forwarder(tmp_path, Upstream(), steps)


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True


async def answered(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("http://store/own/x") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
