"""Activations on disk: an append-only journal, and an index of it in memory.

Each activation leaves up to three lines: accepted, finished (its record), logs. A line is written before the answer
that it stands behind, so that it outlives this process's death at once; syncing to the disk follows in the
background, many lines at a time, because waiting for it would cost more than a whole warm call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.embedded.openwhisk.json_text import compact

Record = dict[str, Any]
"""An activation record as the API shows it, its `response` with `statusCode` added."""

Place = tuple[int, int]
"""Offset and length of a line."""


@dataclass(slots=True)
class Entry:
    """What memory keeps of one activation."""

    namespace: str
    path: str
    start: int
    summary: bytes = b""
    record: Place | None = None
    logs: Place | None = None
    readable: bool = False
    """its logs were collected, or nobody will"""


class Journal:
    """The activations of all namespaces, in the order in which they were accepted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._counts: dict[str, int] = {}
        self._end = 0
        self._file = -1
        self._sync: asyncio.Task[None] | None = None
        self._unsynced = False

    def open(self) -> list[Record]:
        """Reads the journal; returns what was accepted and has no record, a line torn by a kill is cut off."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        unfinished: dict[str, Record] = {}
        with os.fdopen(os.dup(self._file), "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                with contextlib.suppress(ValueError, KeyError):
                    self._read(line, unfinished)
                self._end += len(line)
        os.ftruncate(self._file, self._end)
        for entry in self._entries.values():
            entry.readable = entry.record is not None
        return list(unfinished.values())

    async def close(self) -> None:
        while self._sync is not None and not self._sync.done():
            await self._sync
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def accept(self, accepted: Record) -> None:
        """Notes that an activation will get a record. `accepted` names at least its id, namespace, path, start."""
        self._append("accepted", accepted)
        self._add(accepted)

    def finish(self, record: Record) -> None:
        place = self._append("finished", record)
        self._place_record(record, place)

    def add_logs(self, activation: str, line: bytes) -> None:
        """Adds what `logs_line` made, which may happen in a thread."""
        entry = self._entries[activation]
        entry.logs = self._write(line)
        entry.readable = True

    def without_logs(self, activation: str) -> None:
        self._entries[activation].readable = True

    def accepted(self, namespace: str) -> int:
        """How many activations a namespace ever had."""
        return self._counts.get(namespace, 0)

    def record(self, namespace: str, activation: str) -> Record | None:
        """The whole record with its logs; None while it runs, or where the namespace has none of that id."""
        entry = self._entries.get(activation)
        if entry is None or not entry.readable or entry.record is None or entry.namespace != namespace:
            return None
        record: Record = self._load(entry.record)["finished"]
        if entry.logs is not None:
            record["logs"] = self._load(entry.logs)["logs"]
        return record

    def newest(self, namespace: str) -> Iterator[tuple[str, Entry]]:
        """Readable activations of a namespace, the latest started first."""
        found = [
            (activation, entry)
            for activation, entry in self._entries.items()
            if entry.namespace == namespace and entry.readable
        ]
        found.sort(key=lambda one: one[1].start, reverse=True)
        return iter(found)

    def _read(self, line: bytes, unfinished: dict[str, Record]) -> None:
        place = (self._end, len(line))
        content = json.loads(line)
        if "accepted" in content:
            self._add(content["accepted"])
            unfinished[content["accepted"]["activationId"]] = content["accepted"]
        elif "finished" in content:
            self._place_record(content["finished"], place)
            unfinished.pop(content["finished"]["activationId"], None)
        else:
            self._entries[content["id"]].logs = place

    def _add(self, accepted: Record) -> None:
        namespace = accepted["namespace"]
        self._entries[accepted["activationId"]] = Entry(namespace, accepted["path"], accepted["start"])
        self._counts[namespace] = self._counts.get(namespace, 0) + 1

    def _place_record(self, record: Record, place: Place) -> None:
        entry = self._entries[record["activationId"]]
        entry.record, entry.start = place, record["start"]
        entry.summary = compact(summary(record)).encode()

    def _append(self, kind: str, content: Record) -> Place:
        return self._write(compact({kind: content}).encode("utf-8", "replace") + b"\n")

    def _write(self, line: bytes) -> Place:
        place = (self._end, len(line))
        done = 0
        while done < len(line):
            done += os.pwrite(self._file, memoryview(line)[done:], self._end + done)
        self._end += len(line)
        self._unsynced = True
        if self._sync is None or self._sync.done():
            self._sync = asyncio.create_task(self._sync_all())
        return place

    async def _sync_all(self) -> None:
        while self._unsynced:
            self._unsynced = False
            with contextlib.suppress(OSError):
                await asyncio.to_thread(os.fdatasync, self._file)

    def _load(self, place: Place) -> Any:
        offset, length = place
        return json.loads(os.pread(self._file, length, offset))


def logs_line(activation: str, lines: list[str]) -> bytes:
    return compact({"id": activation, "logs": lines}).encode("utf-8", "replace") + b"\n"


def summary(record: Record) -> Record:
    """What a list shows of an activation."""
    kept = ("namespace", "name", "version", "publish", "annotations", "activationId", "start", "end", "duration")
    return {**{key: record[key] for key in kept}, "statusCode": record["response"]["statusCode"]}


def shown(record: Record) -> Record:
    """A whole record as the API shows it: without the number of its status."""
    response = {key: value for key, value in record["response"].items() if key != "statusCode"}
    return {**record, "response": response}
