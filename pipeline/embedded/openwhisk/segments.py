"""The journal's files: lines are added to the newest, and the oldest is removed whole, so that nothing is copied.

A line is written before the answer that it stands behind, so that it outlives this process's death at once; syncing
to the disk follows in the background, many lines at a time, because waiting for it would cost more than a warm call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.files import sync, sync_folder

NAME = "activations-{:08d}.jsonl"
PATTERN = "activations-????????.jsonl"
GATHER_S = 0.02
"""Lines of so long are synced together."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line lies: the number of its file, offset and length in bytes."""

    segment: int
    offset: int
    length: int


@dataclass(slots=True)
class _Segment:
    path: Path
    file: int
    size: int = 0


class Segments:
    """Files of lines in one folder, numbered as they were begun."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segments: dict[int, _Segment] = {}
        self._unsynced: set[int] = set()
        self._sync: asyncio.Task[None] | None = None

    def open(self) -> Iterator[tuple[Place, bytes]]:
        """Every line of every file; what has no end, torn by a kill, is cut off."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.glob(PATTERN)):
            number = int(path.stem.rpartition("-")[2])
            segment = self._segments[number] = _Segment(path, _opened(path))
            with os.fdopen(os.dup(segment.file), "rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    yield Place(number, segment.size, len(line)), line
                    segment.size += len(line)
            os.ftruncate(segment.file, segment.size)
            if not segment.size:
                self._remove(number)

    @property
    def numbers(self) -> list[int]:
        """The files that there are, the oldest first."""
        return list(self._segments)

    @property
    def newest(self) -> int:
        return next(reversed(self._segments))

    @property
    def newest_bytes(self) -> int:
        return self._segments[self.newest].size

    @property
    def total_bytes(self) -> int:
        return sum(one.size for one in self._segments.values())

    def begin(self, head: bytes) -> None:
        """Begins a new file with the line `head`. Raises OSError, and then the old one is still the newest."""
        number = self.newest + 1 if self._segments else 1
        path = self._folder / NAME.format(number)
        segment = _Segment(path, _opened(path))
        try:
            _write(segment, head)
            sync_folder(self._folder)
        except OSError:
            os.close(segment.file)
            path.unlink(missing_ok=True)
            raise
        self._segments[number] = segment

    def append(self, line: bytes) -> Place:
        """Adds a line to the newest file. Raises OSError where that is impossible, and then it is not there."""
        number = self.newest
        segment = self._segments[number]
        place = Place(number, segment.size, len(line))
        _write(segment, line)
        self._unsynced.add(segment.file)
        if self._sync is None or self._sync.done():
            self._sync = asyncio.create_task(self._sync_all())
        return place

    def read(self, place: Place) -> bytes:
        return os.pread(self._segments[place.segment].file, place.length, place.offset)

    def remove_oldest(self) -> None:
        self._remove(self.numbers[0])

    def _remove(self, number: int) -> None:
        segment = self._segments.pop(number)
        self._unsynced.discard(segment.file)
        segment.path.unlink(missing_ok=True)
        os.close(segment.file)

    async def close(self) -> None:
        while self._sync is not None and not self._sync.done():
            await self._sync
        for segment in self._segments.values():
            sync(segment.file, segment.path.name)
            os.close(segment.file)
        self._segments.clear()

    async def _sync_all(self) -> None:
        while self._unsynced:
            await asyncio.sleep(GATHER_S)
            # copies, as a file that is removed meanwhile leaves its number to another
            copies = [os.dup(self._unsynced.pop()) for _ in range(len(self._unsynced))]
            for copy in copies:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(sync, copy, "activations", content_only=True)
                os.close(copy)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _write(segment: _Segment, line: bytes) -> None:
    done = 0
    while done < len(line):
        done += os.pwrite(segment.file, memoryview(line)[done:], segment.size + done)
    segment.size += len(line)
