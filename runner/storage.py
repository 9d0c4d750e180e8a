"""Objects by signed URL: GET and PUT with bounds, timeouts and retries."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from runner.connection import connection
from runner.errors import NoAnswerError, TransferError

TIMEOUT_S = 30.0
ATTEMPTS = 5
FIRST_WAIT_S = 0.2
MIB = 1 << 20
CHUNK = 256 << 10
NO_HEADERS: Mapping[str, str] = {}


class RetryError(Exception):
    """A fault that may be gone at the next attempt."""


def get(url: str, what: str, *, limit: int = 256 * MIB) -> bytes:
    """Fetches `what` from `url`, at most `limit` bytes. Raises TransferError."""
    return _attempts("GET", url, what, None, limit)


def get_span(url: str, what: str, start: int, stop: int) -> bytes:
    """Fetches the bytes from `start` up to `stop` of an object that has them. Raises TransferError."""
    content = _attempts("GET", url, what, None, stop - start, {"Range": f"bytes={start}-{stop - 1}"})
    if len(content) != stop - start:
        raise TransferError(f"{what}: {len(content)} bytes came of {stop - start} from byte {start} on")
    return content


def put(url: str, what: str, content: bytes) -> None:
    """Stores `content` at `url`. Raises TransferError."""
    _attempts("PUT", url, what, content, MIB)


def without_query(url: str) -> str:
    """The URL as it may be shown: a signature in the query is a secret."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _attempts(
    method: str, url: str, what: str, content: bytes | None, limit: int, headers: Mapping[str, str] = NO_HEADERS
) -> bytes:
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
        try:
            return _once(method, url, what, content, limit, headers)
        except (RetryError, OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
    raise NoAnswerError(f"{what}: {method} {without_query(url)} failed {ATTEMPTS} times: {reason}")


def _once(
    method: str, url: str, what: str, content: bytes | None, limit: int, headers: Mapping[str, str] = NO_HEADERS
) -> bytes:
    parts = urlsplit(url)
    opened = connection(parts, TIMEOUT_S)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        opened.request(method, target, body=content, headers=dict(headers))
        response = opened.getresponse()
        if response.status == 403 and b"QuotaExceeded" in response.read(CHUNK):
            raise TransferError(f"{what}: the run has moved all the bytes that it may")
        _check_status(response.status, method, url, what)
        return _read(response, limit, what)
    finally:
        opened.close()


def _check_status(status: int, method: str, url: str, what: str) -> None:
    if 200 <= status < 300:
        return
    if status >= 500 or status == 429:
        raise RetryError(f"the store answered {status}")
    reason = {
        403: "refused: the URL has expired, or is signed for another address or method",
        404: "it is not there",
    }.get(status, f"the store answered {status}")
    raise NoAnswerError(f"{what}: {method} {without_query(url)}: {reason}")


def _read(response: http.client.HTTPResponse, limit: int, what: str) -> bytes:
    """The body, in one buffer; read in pieces so that a wrong length in the header reserves nothing."""
    if (response.length or 0) > limit:
        raise TransferError(f"{what}: {response.length} bytes, at most {limit} are read")
    body = bytearray()
    while piece := response.read(CHUNK):
        body += piece
        if len(body) > limit:
            raise TransferError(f"{what}: more than {limit} bytes, which is the most that is read")
    if response.length:
        raise RetryError(f"the connection ended {response.length} bytes early")
    return bytes(body)
