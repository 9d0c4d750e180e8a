"""Processes of ours that are killed at their points (`pipeline/faults.py`), and what points there are.

`PIPELINE_DEATHS=1` has the loops kill at every point, each time in a run of its own; 5, at every fifth; without it they
kill at one of each kind.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

EVERY = int(os.environ.get("PIPELINE_DEATHS", "0") or 0)
KILLED = -signal.SIGKILL
DIFFERS = re.compile(
    r"[0-9a-f]{32,}|(?<=\.partial-)\w+|[\w-]+(?=\.(?:svg|npy|log)$)|(?<=/course/).+|(?<=/run-one/).+|(?<=/actions/).+"
)


@dataclass(frozen=True)
class Point:
    """One that a process has passed; `kind`: its name without the names of single objects and actions."""

    pid: int
    number: int
    name: str

    @property
    def kind(self) -> str:
        return DIFFERS.sub("*", self.name)

    @property
    def is_poll(self) -> bool:
        """A question that is asked again and again while nothing changes."""
        return bool(re.match(r"request GET (/control/status|/pool|/api/v1/namespaces/_/activations/\w+)$", self.name))


def environment(die_at: str | int = "", log: Path | None = None) -> dict[str, str]:
    return os.environ | {"PIPELINE_DIE_AT": str(die_at), "PIPELINE_DIE_LOG": str(log or "")}


def passed(log: Path) -> list[Point]:
    """All that stand in the log, of each process in its order."""
    lines = [line.split(" ", 2) for line in log.read_text().splitlines()]
    return [Point(int(pid), int(number), name) for pid, number, name in lines]


def of_first(points: list[Point]) -> list[Point]:
    """Those of the process that passed the first one: the command itself."""
    return [one for one in points if one.pid == points[0].pid]


def of_each_kind(points: list[Point]) -> list[Point]:
    """The first of each kind; where a file is synced, renamed and its folder synced, only the rename."""
    renamed = {one.kind.removeprefix("rename ") for one in points if one.kind.startswith("rename ")}
    kinds: dict[str, Point] = {}
    for one in points:
        step, _, name = one.kind.partition(" ")
        if step != "fsync" or (name not in renamed and not name.endswith("/")):
            kinds.setdefault(one.kind, one)
    return list(kinds.values())


def without_repeated_polls(points: list[Point]) -> list[Point]:
    """How often a poll is made is the machine's affair: of those with no other point between them, one of each kind."""
    kept: list[Point] = []
    seen: set[str] = set()
    for one in points:
        seen = seen if one.is_poll else set()
        if one.kind not in seen:
            kept.append(one)
        seen.add(one.kind)
    return kept
