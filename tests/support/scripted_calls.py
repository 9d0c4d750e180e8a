"""Servers that follow a script, for tests of calls: what becomes of each invocation is said beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.backends.functions import Activation
from pipeline.embedded.contract import Pool, QueueEntry


@dataclass
class FakeRun:
    """A run as far as the book needs it."""

    folder: Path

    @property
    def execution_file(self) -> Path:
        return self.folder / "execution.json"


@dataclass
class Script:
    """Servers and functions in one: each invocation of a name takes the next record of its plan; None never ends."""

    plan: dict[str, list[Activation | Exception | None]]
    invoked: list[str] = field(default_factory=list)
    queue: list[QueueEntry] = field(default_factory=list)
    records: dict[str, Activation | None] = field(default_factory=dict)

    cancelled: int = 0

    def functions(self) -> Script:
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def invoke(self, action: str, parameters: Mapping[str, Any]) -> str:
        name = parameters["name"]
        planned = self.plan[name].pop(0)
        if isinstance(planned, Exception):
            raise planned
        self.invoked.append(name)
        activation = f"{name}-{len(self.invoked)}"
        self.records[activation] = planned
        return activation

    def activation(self, activation_id: str) -> Activation | None:
        return self.records[activation_id]

    def pool(self) -> Pool:
        return Pool(size_mb=1024, busy_mb=768, idle_mb=0, prewarmed_mb=0, containers=3, queue=tuple(self.queue))


def record(*, success: bool = True, status: str = "success", error: str = "", end: float = 1.0) -> Activation:
    result = {"error": error} if error else {"answer": 42}
    return Activation("a" * 32, "f", 0.0, end, success, status, result, 10, 0.0, None, False)


def crashed(error: str = "main.py, line 3: ValueError: no") -> Activation:
    return record(success=False, status="application error", error=error)


def died() -> Activation:
    return record(success=False, status="action developer error", error="it ended")


def cancelled(end: float) -> Activation:
    return record(success=False, status="whisk internal error", error="The activation was cancelled.", end=end)


def lost(end: float = 1.0) -> Activation:
    return record(success=False, status="whisk internal error", error="the server failed", end=end)
