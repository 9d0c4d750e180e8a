"""Builds: contract. Who takes a submission through the stages, worker processes of this machine or Jenkins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.errors import Outcome
from pipeline.submissions.entry import Entry


@dataclass(frozen=True)
class Look:
    """What is known of a build. `lost`: it was never started, or has ended without a word; it is to be started again.

    `reason` says why it is queued, or how it ended. `url` is where a person sees it.
    """

    state: Literal["queued", "running", "ended", "lost"]
    reason: str = ""
    outcome: Outcome | None = None
    points: float | None = None
    most_points: float | None = None
    url: str = ""


@dataclass(frozen=True)
class Difference:
    """Of a job from what the roster says. `foreign` ones are not ours: they are named and left alone."""

    kind: Literal["create", "update", "enable", "disable", "foreign"]
    name: str


class Jobs(Protocol):
    """A course's jobs on a build server."""

    def differences(self) -> list[Difference]:
        """What is not as it should be. Raises InfrastructureError where the server does not answer."""
        ...

    def sync(self, tell: Callable[[Difference], None]) -> list[Difference]:
        """Makes it so, one after the other; a call that fails leaves the rest for the next time."""
        ...


class Builds(Protocol):
    """All calls can be made again: a submission's id names its one build."""

    def start(self, entry: Entry) -> None:
        """Starts the build, or lets the one go on that is there. Raises InfrastructureError, ThrottledError."""
        ...

    def look(self, entry: Entry) -> Look:
        """How the build stands; its console's text is appended to the submission's console file meanwhile."""
        ...

    def cancel(self, entry: Entry) -> None:
        """Stops the build. Harmless where there is none."""
        ...
