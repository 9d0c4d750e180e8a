"""Activations on disk: a journal of lines, and an index of it in memory.

Each activation leaves up to three lines: accepted, finished (its record), logs. The start of a line says what the
index needs, so that a start need not parse the whole of it. An activation is forgotten with the file that its first
line is in; a file's first line says how many activations each namespace had had before it.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.embedded.openwhisk.json_text import compact
from pipeline.embedded.openwhisk.segments import Place, Segments
from pipeline.embedded.openwhisk.settings import Keep

Record = dict[str, Any]
"""An activation record as the API shows it, its `response` with `statusCode` added."""

START = re.compile(
    rb'\{"id":"(?P<id>[0-9a-f]{32})"(?:,"at":(?P<at>\d{1,16}))?'
    rb'(?:,"of":"(?P<of>[^"]+)")?,"(?P<kind>accepted|finished|logs)":'
)
SUMMARY = ("namespace", "name", "version", "publish", "annotations", "activationId", "start", "end", "duration")


@dataclass(slots=True)
class Entry:
    """What memory keeps of one activation. Times in milliseconds since the epoch."""

    namespace: str
    path: str
    start: int
    record: Place | None = None
    logs: Place | None = None
    readable: bool = False
    """its logs were collected, or nobody will"""


@dataclass(slots=True)
class _File:
    """The activations that were accepted into one file."""

    number: int
    ids: list[str]
    first: int
    last: int


class Journal:
    """The activations of all namespaces, in the order in which they were accepted."""

    def __init__(self, folder: Path, keep: Keep | None = None) -> None:
        self._keep = keep or Keep()
        self._segments = Segments(folder)
        self._entries: dict[str, Entry] = {}
        self._counts: dict[str, int] = {}
        self._files: deque[_File] = deque()

    def open(self) -> list[Record]:
        """Reads the journal; returns what was accepted and has no record. A damaged line is left out."""
        unfinished: dict[str, Place] = {}
        for place, line in self._segments.open():
            if not self._files or self._files[-1].number != place.segment:
                self._read_head(line)
                self._files.append(_File(place.segment, [], 0, 0))
            if found := START.match(line):
                self._index(found, place, unfinished)
        if not self._segments.numbers:
            self._begin()
        for entry in self._entries.values():
            entry.readable = entry.record is not None
        self._forget()
        return [record for place in unfinished.values() if (record := self._load(place, "accepted")) is not None]

    async def close(self) -> None:
        await self._segments.close()

    def accept(self, accepted: Record) -> None:
        """Notes that an activation will get a record. `accepted` names at least its id, namespace, path, start."""
        if self._is_full():
            # where no new file can be made, the old one grows
            with contextlib.suppress(OSError):
                self._begin()
                self._forget()
        start = {"id": accepted["activationId"], "at": accepted["start"], "of": accepted["path"]}
        self._segments.append(_line({**start, "accepted": accepted}))
        self._add(accepted["activationId"], accepted["path"], accepted["start"])

    def finish(self, record: Record) -> None:
        start = {"id": record["activationId"], "at": record["start"]}
        place = self._segments.append(_line({**start, "finished": record}))
        entry = self._entries[record["activationId"]]
        entry.record, entry.start = place, record["start"]

    def add_logs(self, activation: str, line: bytes) -> None:
        """Adds what `logs_line` made, which may happen in a thread."""
        entry = self._entries[activation]
        entry.logs = self._segments.append(line)
        entry.readable = True

    def without_logs(self, activation: str) -> None:
        self._entries[activation].readable = True

    def accepted(self, namespace: str) -> int:
        """How many activations a namespace ever had, those that are forgotten too."""
        return self._counts.get(namespace, 0)

    def record(self, namespace: str, activation: str) -> Record | None:
        """The whole record with its logs; None while it runs, or where the namespace has none of that id."""
        entry = self._entries.get(activation)
        if entry is None or not entry.readable or entry.record is None or entry.namespace != namespace:
            return None
        record: Record | None = self._load(entry.record, "finished")
        if record is not None and entry.logs is not None:
            record["logs"] = self._load(entry.logs, "logs") or []
        return record

    def summary(self, entry: Entry) -> Record | None:
        """What a list shows of an activation; None where its line is damaged."""
        record = None if entry.record is None else self._load(entry.record, "finished")
        return None if record is None else summary(record)

    def newest(self, namespace: str) -> Iterator[tuple[str, Entry]]:
        """Readable activations of a namespace, the latest started first."""
        found = [
            (activation, entry)
            for activation, entry in self._entries.items()
            if entry.namespace == namespace and entry.readable
        ]
        found.sort(key=lambda one: one[1].start, reverse=True)
        return iter(found)

    def _index(self, found: re.Match[bytes], place: Place, unfinished: dict[str, Place]) -> None:
        activation, kind = found["id"].decode(), found["kind"]
        if kind == b"accepted" and found["of"] and found["at"]:
            self._add(activation, found["of"].decode(), int(found["at"]))
            unfinished[activation] = place
        elif (entry := self._entries.get(activation)) is not None:
            if kind == b"finished":
                entry.record, entry.start = place, int(found["at"] or 0)
                unfinished.pop(activation, None)
            elif kind == b"logs":
                entry.logs = place

    def _add(self, activation: str, path: str, at: int) -> None:
        namespace = path.partition("/")[0]
        self._entries[activation] = Entry(namespace, path, at)
        self._counts[namespace] = self._counts.get(namespace, 0) + 1
        file = self._files[-1]
        file.ids.append(activation)
        file.first, file.last = file.first or at, at

    def _begin(self) -> None:
        self._segments.begin(_line({"counts": self._counts}))
        self._files.append(_File(self._segments.newest, [], 0, 0))

    def _read_head(self, line: bytes) -> None:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            self._counts = {str(name): int(count) for name, count in json.loads(line)["counts"].items()}

    def _is_full(self) -> bool:
        newest = self._files[-1]
        old_ms = self._keep.days / self._keep.files * 86_400_000
        return (
            len(newest.ids) * self._keep.files >= self._keep.records
            or self._segments.newest_bytes * self._keep.files >= self._keep.bytes
            or (newest.first > 0 and time.time() * 1000 - newest.first > old_ms)
        )

    def _forget(self) -> None:
        """Drops the oldest files as long as there is too much, and nothing in them is still to be written."""
        while len(self._files) > 1 and self._is_too_much():
            oldest = self._files[0]
            if not all(self._entries[one].readable for one in oldest.ids):
                return
            self._segments.remove_oldest()
            for one in oldest.ids:
                del self._entries[one]
            self._files.popleft()

    def _is_too_much(self) -> bool:
        oldest = self._files[0]
        return (
            len(self._entries) > self._keep.records
            or self._segments.total_bytes > self._keep.bytes
            or time.time() * 1000 - oldest.last > self._keep.days * 86_400_000
        )

    def _load(self, place: Place, kind: str) -> Any:
        try:
            return json.loads(self._segments.read(place))[kind]
        except (ValueError, KeyError, TypeError):
            return None


def _line(content: dict[str, Any]) -> bytes:
    return compact(content).encode("utf-8", "replace") + b"\n"


def logs_line(activation: str, lines: list[str]) -> bytes:
    return _line({"id": activation, "logs": lines})


def summary(record: Record) -> Record:
    """What a list shows of an activation."""
    return {**{key: record[key] for key in SUMMARY}, "statusCode": record["response"]["statusCode"]}


def shown(record: Record) -> Record:
    """A whole record as the API shows it: without the number of its status."""
    response = {key: value for key, value in record["response"].items() if key != "statusCode"}
    return {**record, "response": response}
