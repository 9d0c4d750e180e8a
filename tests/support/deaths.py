"""Processes of ours that are killed at their points (`pipeline/faults.py`), and what points there are.

`PIPELINE_DEATHS=1` has the loops kill at every point, each time in a run of its own; 5, at every fifth; without it they
kill at one of each kind. `PIPELINE_DEATHS_LANES=3` has three runs at a time, `PIPELINE_DEATHS_SURVIVED=FILE` names
deaths that are not tried again.
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

EVERY = int(os.environ.get("PIPELINE_DEATHS", "0") or 0)
LANES = int(os.environ.get("PIPELINE_DEATHS_LANES", "0") or 2)
"""Runs at a time: one of them waits more than it works."""
SURVIVED = Path(os.environ.get("PIPELINE_DEATHS_SURVIVED") or os.devnull)
"""Where it stands which deaths a run has survived, so that a long loop that was stopped goes on."""
KILLED = -signal.SIGKILL
DIFFERS = re.compile(
    r"[0-9a-f]{32,}|(?<=\.partial-)\w+|[\w-]+(?=\.(?:svg|npy|log)$)|(?<=/course/).+|(?<=/run-one/).+|(?<=/actions/).+"
)

RANDOM = re.compile(r"[0-9a-f]{32,}|(?<=\.partial-)\w+")
PARAMETER_SERVER = {(1, "spawn by fork"), (2, "request HEAD /course")}
"""What tells its processes apart from the others of a run: the first point of each."""


@dataclass(frozen=True)
class Point:
    """One that a process has passed, for the `nth` time.

    `kind`: its name without the names of single objects and actions. `place`: where it is found again in another run,
    whose ids are others.
    """

    pid: int
    number: int
    name: str
    nth: int

    @property
    def pattern(self) -> str:
        return pattern_of(self.name)

    @property
    def place(self) -> str:
        return f"{self.pattern}#{self.nth}"

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
    points: list[Point] = []
    seen: Counter[tuple[str, str]] = Counter()
    for pid, number, name in (line.split(" ", 2) for line in log.read_text().splitlines()):
        seen[pid, pattern_of(name)] += 1
        points.append(Point(int(pid), int(number), name, seen[pid, pattern_of(name)]))
    return points


def pattern_of(name: str) -> str:
    return RANDOM.sub(lambda found: "?" * len(found[0]), name)


def of_first(points: list[Point]) -> list[Point]:
    """Those of the process that passed the first one: the command itself."""
    return [one for one in points if one.pid == points[0].pid]


def of_module(module: str, points: list[Point]) -> list[Point]:
    """Those of the processes that run `module`, and of their forks: a run has the command, and two that serve it."""
    first: dict[int, Point] = {}
    for one in points:
        first.setdefault(one.pid, one)
    stores = {pid for pid, one in first.items() if (one.number, one.name) in PARAMETER_SERVER}
    others = first.keys() - stores - {points[0].pid}
    wanted = {"pipeline.training.server": stores, "pipeline.embedded": others}[module]
    return [one for one in points if one.pid in wanted]


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
    """How often a poll is made is the machine's affair: of those with no other request between, one of each kind."""
    kept: list[Point] = []
    seen: set[str] = set()
    for one in points:
        if one.name.startswith(("request", "spawn")) and not one.is_poll:
            seen.clear()
        if not one.is_poll or one.kind not in seen:
            kept.append(one)
        seen.add(one.kind)
    return kept
