"""A picture by URL, from any server: http(s), no redirects, bounded in bytes and time, never a metadata address."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from concurrent.futures import Future
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from runner.connection import connection, sockets
from runner.errors import ImageError, NoImageError
from runner.storage import without_query

MOST_BYTES = 4 << 20
WITHIN_S = 10.0
CHUNK = 64 << 10
METADATA = frozenset({"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"})
"""Where clouds tell a machine its keys, beside the link-local addresses, which are all refused."""


def fetch(url: str, *, most: int = MOST_BYTES, within_s: float = WITHIN_S) -> bytes:
    """What lies at `url`, at most `most` bytes. Raises ImageError, and NoImageError where no server gave it.

    In a thread of its own: no server, however slowly it answers, and no name service takes more than `within_s`
    seconds of the caller's time.
    """
    fetching = Fetching(url, most, within_s)
    threading.Thread(target=fetching.run, daemon=True).start()
    try:
        return fetching.future.result(within_s)
    except TimeoutError:
        fetching.give_up()
        raise fetching.too_slow() from None


class Fetching:
    """One request. `give_up` may be called by another thread."""

    def __init__(self, url: str, most: int, within_s: float) -> None:
        self.url = url
        self.shown = without_query(url)
        self.most = most
        self.within_s = within_s
        self.future: Future[bytes] = Future()
        self.given_up = False
        self.socket: socket.socket | None = None

    def give_up(self) -> None:
        """Ends the request, whatever it waits for."""
        self.given_up = True
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def too_slow(self) -> NoImageError:
        return NoImageError(f"image: {self.shown} did not come within {self.within_s:g} s")

    def run(self) -> None:
        try:
            self.future.set_result(self.get())
        except ImageError as error:
            self.future.set_exception(error)
        except TimeoutError:
            self.future.set_exception(self.too_slow())
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self.future.set_exception(NoImageError(f"image: {self.shown} cannot be fetched: {reason}"))
        except BaseException as error:  # whatever it is, the caller is not to wait for nothing
            self.future.set_exception(error)

    def get(self) -> bytes:
        parts = urlsplit(self.url)
        made = opened(parts, self.within_s)
        try:
            made.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            self.socket = made.sock
            answer = made.getresponse()
            self.check(answer)
            return self.read(answer)
        finally:
            made.close()

    def check(self, answer: http.client.HTTPResponse) -> None:
        if 300 <= answer.status < 400:
            target = without_query(answer.getheader("Location") or "nowhere")[:200]
            raise ImageError(f"image: {self.shown} redirects to {target}, and redirects are not followed")
        if answer.status != 200:
            what = {404: "it is not there", 403: "it may not be read"}.get(answer.status, "")
            raise NoImageError(f"image: {self.shown}: the server answered {answer.status}{what and f': {what}'}")

    def read(self, answer: http.client.HTTPResponse) -> bytes:
        """In pieces: a length that is said reserves nothing."""
        said = answer.length
        if (said or 0) > self.most:
            raise ImageError(f"image: {self.shown} has {said} bytes, at most {self.most} are read")
        body = bytearray()
        while not self.given_up and (piece := answer.read1(CHUNK)):
            body += piece
            if len(body) > self.most:
                raise ImageError(f"image: {self.shown} has more than {self.most} bytes, which is the most that is read")
        if answer.length:
            raise NoImageError(f"image: {self.shown} ended {answer.length} bytes before the {said} that it announced")
        return bytes(body)


def opened(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    """A connection to the address that was looked at, so that a name cannot lead elsewhere the second time."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    made = connection(parts, timeout)
    if f"{host}:{parts.port}" in sockets():
        return made
    address = allowed_address(host, port)
    made.sock = socket.create_connection((address, port), timeout)
    if isinstance(made, http.client.HTTPSConnection):
        made.sock = ssl.create_default_context().wrap_socket(made.sock, server_hostname=host)
    return made


def allowed_address(host: str, port: int) -> str:
    """The first address of a host. Raises ImageError where any of them is one that is never asked."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(one[4][0]) for one in found]
    for one in addresses:
        if is_refused(one):
            raise ImageError(f"image: {host} is {one}, an address that is never asked")
    return addresses[0]


def is_refused(address: str) -> bool:
    """Link-local and multicast addresses, and what clouds use beside them; also where written as IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None) or parsed
    return inner.is_link_local or inner.is_multicast or str(inner) in METADATA
