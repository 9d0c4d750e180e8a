"""A picture by URL from servers that hang, lie and lead elsewhere: each gets an answer in words, and soon."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from runner import fetching
from runner.errors import ImageError, NoImageError

Serve = Callable[..., str]
PICTURE = b"\x89PNG, as far as this test goes"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server on loopback that sends `parts` to whoever connects, then hangs, or closes where `closes`."""
    opened: list[socket.socket] = []

    def start(*parts: bytes, closes: bool = True) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        opened.append(listener)

        def answer() -> None:
            connection, _ = listener.accept()
            opened.append(connection)
            connection.recv(65536)
            try:
                for part in parts:
                    connection.sendall(part)
            except OSError:
                return  # whoever asked has had enough
            if closes:
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/bucket/digit.png?X-Amz-Signature=secret"

    yield start
    for one in opened:
        one.close()


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_picture_comes_as_it_is(serve: Serve) -> None:
    assert fetching.fetch(serve(head(Content_Length=len(PICTURE)), PICTURE)) == PICTURE
    assert fetching.fetch(serve(head(Connection="close"), PICTURE)) == PICTURE


@pytest.mark.parametrize(
    ("parts", "closes"),
    [((), False), ((head(Content_Length=100), b"half"), False), ((b"HTTP/1.1 200 OK\r\nX-Slow: ",), False)],
    ids=["says nothing", "stops half way", "stops in its headers"],
)
def test_a_server_that_hangs_is_given_up(serve: Serve, parts: tuple[bytes, ...], closes: bool) -> None:
    with pytest.raises(NoImageError, match=r"did not come within 0\.3 s") as caught:
        fetching.fetch(serve(*parts, closes=closes), within_s=0.3)
    assert "secret" not in caught.value.message and caught.value.answer()["code"] == 400


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((head(Content_Length=10**12),), "has 1000000000000 bytes, at most 1000 are read"),
        ((head(Connection="close"), *[bytes(600)] * 100), "more than 1000 bytes"),
        ((head(Transfer_Encoding="chunked"), *[b"258\r\n" + bytes(600) + b"\r\n"] * 100), "more than 1000 bytes"),
        ((head(Content_Length=999), b"short"), "ended 994 bytes before the 999"),
        (
            (head("302 Found", Location="http://169.254.169.254/latest/meta-data/"),),
            "redirects to http://169.254.169.254/",
        ),
        ((head("301 Moved", Location="/other.png"),), "redirects are not followed"),
        ((head("404 Not Found", Content_Length=0),), "404: it is not there"),
        ((head("500 Oh", Content_Length=0),), "the server answered 500"),
        ((b"SSH-2.0-OpenSSH\r\n",), "cannot be fetched"),
        ((), "cannot be fetched"),
    ],
)
def test_a_server_that_lies_is_not_believed(serve: Serve, parts: tuple[bytes, ...], says: str) -> None:
    with pytest.raises(ImageError, match=says):
        fetching.fetch(serve(*parts), most=1000)


def test_a_name_that_leads_to_metadata_is_not_followed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses of a name are looked at, and the one that was looked at is the one that is asked."""
    harmless, metadata = ("127.0.0.1", 80), ("169.254.169.254", 80)
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in (harmless, metadata)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(ImageError, match=r"friendly\.example is 169\.254\.169\.254"):
        fetching.fetch("http://friendly.example/digit.png")
