"""Whose containers, networks and rules these are: a label that tells supervisors apart, dead or alive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.embedded.processes import Recorded, recorded

OWNER, STATE, NAMESPACE = "ml-pipeline.owner", "ml-pipeline.state", "ml-pipeline.namespace"


@dataclass(frozen=True)
class Owner:
    """A process by its pid and start time, in seconds since the epoch, and the folder of its state."""

    pid: int
    started: float
    state: Path

    @property
    def text(self) -> str:
        return f"{self.pid}:{self.started:.2f}"

    def labels(self, namespace: str) -> dict[str, str]:
        return {OWNER: self.text, STATE: str(self.state), NAMESPACE: namespace}


def owner_of(pid: int, state: Path) -> Owner:
    """Raises ProcessLookupError where there is no such process."""
    found = recorded(pid)
    if found is None:
        raise ProcessLookupError(pid)
    return Owner(found.pid, found.started, state)


def alive(text: str) -> bool:
    """Whether the process that a label names runs still; False for what is no label of ours."""
    pid, _, started = text.partition(":")
    try:
        return Recorded(pid=int(pid), started=float(started)).find() is not None
    except ValueError:
        return False
