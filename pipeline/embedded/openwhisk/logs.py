"""What containers print: two streams, split into lines and activations, bounded, in OpenWhisk's form."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Literal

Stream = Literal["stdout", "stderr"]
STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")
SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
LONGEST_LINE = 64 * 1024
LEAST_BYTES = 32
"""What a line counts at least: a record of each is kept, so that newlines alone are not nearly free."""
TIME_WIDTH = 30


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an activation. `at` in nanoseconds since the epoch."""

    at: int
    stream: Stream
    text: str

    def __str__(self) -> str:
        seconds, nanoseconds = divmod(self.at, 1_000_000_000)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
        return f"{stamp:<{TIME_WIDTH}} {self.stream}: {self.text}"


@dataclass(slots=True)
class _Half:
    """One of the streams: the line that has no end yet, and whether the activation's end was seen."""

    partial: bytearray = field(default_factory=bytearray)
    sentinels: int = 0
    closed: bool = False


class LogBuffer:
    """Collects the lines of one container's activations; feed it from readers of both streams.

    Beyond the limit of an activation nothing is kept but the number of bytes dropped, so that a program that
    prints without end costs no memory here.
    """

    def __init__(self) -> None:
        self._halves: dict[Stream, _Half] = {stream: _Half() for stream in STREAMS}
        self._lines: list[LogLine] = []
        self._room = 0
        self._limit = 0
        self._dropped = 0
        self._changed = asyncio.Event()

    def begin(self, limit_bytes: int) -> None:
        """Starts an activation; what came before and was not taken is forgotten."""
        self._lines, self._dropped = [], 0
        self._room = self._limit = limit_bytes
        for half in self._halves.values():
            half.sentinels = 0

    def feed(self, stream: Stream, data: bytes) -> None:
        half = self._halves[stream]
        half.partial += data
        if b"\n" not in data and len(half.partial) <= LONGEST_LINE:
            return
        now = time.time_ns()
        *lines, rest = bytes(half.partial).split(b"\n")
        while len(rest) > LONGEST_LINE:
            lines.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        half.partial = bytearray(rest)
        for line in lines:
            self._add(now, stream, line)

    def close(self, stream: Stream) -> None:
        """The stream has ended; its last line need not end with a newline."""
        half = self._halves[stream]
        if half.partial:
            self._add(time.time_ns(), stream, bytes(half.partial))
            half.partial.clear()
        half.closed = True
        self._changed.set()

    async def take(self, wait_s: float) -> tuple[LogLine, ...]:
        """The activation's lines, when both streams showed the sentinel or ended, or after `wait_s` seconds."""
        until = asyncio.get_running_loop().time() + wait_s
        while not self._complete():
            self._changed.clear()
            left = until - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._changed.wait(), max(left, 0))
            except TimeoutError:
                break
        lines, self._lines = self._lines, []
        if self._dropped and self._limit:
            lines.append(LogLine(time.time_ns(), "stderr", self._truncation()))
        self._dropped = 0
        return tuple(lines)

    def _complete(self) -> bool:
        return all(half.sentinels or half.closed for half in self._halves.values())

    def _truncation(self) -> str:
        return (
            "Logs were truncated because the total bytes size exceeds the limit of "
            f"{self._limit} bytes; {self._dropped} bytes were dropped."
        )

    def _add(self, now: int, stream: Stream, line: bytes) -> None:
        if line.rstrip(b"\r") == SENTINEL:
            self._halves[stream].sentinels += 1
            self._changed.set()
            return
        if self._dropped or len(line) > self._room:
            self._dropped += len(line) + 1
            return
        self._room -= max(len(line) + 1, LEAST_BYTES)
        self._lines.append(LogLine(now, stream, line.decode("utf-8", "replace")))
