"""Pairs of key and value as lines of text: JSON, a tab, JSON. Read in blocks, written in parts, both bounded.

A key is the text of its JSON, written one way only: two keys are the same where their texts are, and sort by them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any

from runner import storage
from runner.errors import FormatError, StudentError

KIB, MIB = 1 << 10, 1 << 20
MOST_KEY, MOST_VALUE = 4 * KIB, MIB
MOST_LINE = MOST_KEY + MOST_VALUE + 2
LEAST_BLOCK, MOST_BLOCK = 16 * KIB, MIB
Pair = tuple[str, str]


@dataclass(frozen=True)
class Span:
    """Whole lines of an object, by a signed URL: the bytes from `start` up to `stop`."""

    url: str
    start: int
    stop: int


def text_of(value: Any, what: str, at_most: int) -> str:
    """JSON of `value`, ASCII, the same for equal values. Raises StudentError that names `what` where it is none."""
    try:
        if type(value) is str:
            text = encode_basestring_ascii(value)
        elif type(value) is int:
            text = repr(value)
        else:
            text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise StudentError(f"{what} is no JSON ({type(value).__name__}): {str(error)[:200]}") from None
    if len(text) > at_most:
        raise StudentError(f"{what} has {len(text)} bytes as JSON, at most {at_most} are taken")
    return text


def bucket_of(key: str, buckets: int) -> int:
    """The bucket of a key: the same in every process, which Python's own hash is not."""
    return int.from_bytes(hashlib.blake2b(key.encode("ascii"), digest_size=8).digest()) % buckets


def block_size(memory: int, streams: int) -> int:
    """Bytes to read at a time where `streams` are read at once and share `memory`."""
    return max(LEAST_BLOCK, min(MOST_BLOCK, memory // (2 * max(1, streams))))


def read(span: Span, what: str, block: int) -> Iterator[Pair]:
    """The lines of a span as pairs of texts, `block` bytes in memory at a time. Raises FormatError, TransferError."""
    rest, at = b"", span.start
    while at < span.stop:
        end = min(at + block, span.stop)
        lines = (rest + storage.get_span(span.url, what, at, end)).split(b"\n")
        rest, at = lines.pop(), end
        if len(rest) > MOST_LINE:
            raise FormatError(f"{what}: a line of more than {MOST_LINE} bytes")
        for line in lines:
            key, tab, value = line.decode("ascii", errors="replace").partition("\t")
            if not tab:
                raise FormatError(f"{what}: a line without a tab between key and value")
            yield key, value
    if rest:
        raise FormatError(f"{what}: it ends within a line")


class Parts:
    """Lines put into the store, one object after another, of `size` bytes and a line at the most."""

    def __init__(self, urls: Sequence[str], size: int, what: str) -> None:
        self.urls = urls
        self.size = size
        self.what = what
        self.waiting = bytearray()
        self.sizes: list[int] = []

    def add(self, key: str, value: str) -> None:
        self.waiting += f"{key}\t{value}\n".encode("ascii")
        if len(self.waiting) >= self.size:
            self.close()

    def close(self) -> None:
        """Stores what waits. Raises StudentError where there is no room left for it."""
        if not self.waiting:
            return
        if len(self.sizes) == len(self.urls):
            raise StudentError(f"{self.what} have more than {len(self.urls) * self.size // MIB} MB, which is the most")
        storage.put(self.urls[len(self.sizes)], self.what, bytes(self.waiting))
        self.sizes.append(len(self.waiting))
        self.waiting.clear()
