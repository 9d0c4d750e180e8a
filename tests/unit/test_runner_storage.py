"""Objects by URL: bounds, retries, and messages without the signature."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from runner import storage
from runner.errors import TransferError


class Store(http.server.ThreadingHTTPServer):
    """Answers each request with the next of `answers`: a status, or a status and a body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, bytes, int]] = []
        self.requests: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/bucket/key?X-Amz-Signature=secret"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, self.path, body))
        status, content, announced = self.server.answers.pop(0)
        if not status:
            return
        self.send_response(status)
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(storage, "FIRST_WAIT_S", 0.001)
    with Store() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_get_and_put_send_the_signed_url_as_it_is(store: Store) -> None:
    store.answers = [(200, b"content", 7), (200, b"", 0)]
    assert storage.get(store.url, "shard") == b"content"
    storage.put(store.url, "answer", b"classes")
    path = "/bucket/key?X-Amz-Signature=secret"
    assert store.requests == [("GET", path, b""), ("PUT", path, b"classes")]


def test_faults_that_may_pass_are_tried_again(store: Store) -> None:
    store.answers = [(503, b"", 0), (0, b"", 0), (200, b"cut", 7), (200, b"content", 7)]
    assert storage.get(store.url, "shard") == b"content"


def test_a_store_that_stays_down_is_named_without_the_signature(store: Store) -> None:
    store.answers = [(500, b"", 0)] * storage.ATTEMPTS
    with pytest.raises(
        TransferError, match=r"^shard: GET http://127.0.0.1:\d+/bucket/key failed 5 times.*500"
    ) as caught:
        storage.get(store.url, "shard")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("status", "reason"), [(403, "has expired"), (404, "not there"), (302, "answered 302")])
def test_a_refusal_is_final(store: Store, status: int, reason: str) -> None:
    store.answers = [(status, b"", 0)]
    with pytest.raises(TransferError, match=reason):
        storage.get(store.url, "shard")
    assert len(store.requests) == 1


def test_more_than_the_limit_is_not_read(store: Store) -> None:
    store.answers = [(200, b"", 10**12)]
    with pytest.raises(TransferError, match="at most 100 are read"):
        storage.get(store.url, "shard", limit=100)
