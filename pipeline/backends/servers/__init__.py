"""Servers: contract. OpenWhisk, the stores and the run's forwarders, embedded or real, as one run sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, Protocol

from pipeline.backends.functions import Functions
from pipeline.backends.store import Bucket, Key
from pipeline.embedded.contract import DockerImage, InvocationKey, Invoked, Invoking, Pool, ProcessImage, Service, Usage


@dataclass(frozen=True)
class Traffic:
    """What one forwarder passed on, measured outside the containers. Bytes and seconds."""

    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.requests + other.requests,
            self.bytes_sent + other.bytes_sent,
            self.bytes_received + other.bytes_received,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True)
class StoreAccess:
    """How a trusted process of the course reaches the course's bucket itself; `endpoint` is host:port or a URL."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str
    ca_file: Path | None = None


@dataclass(frozen=True)
class ForwarderRequest:
    """A forwarder that one action's containers reach.

    `allowed` are (method, path prefix) pairs; `exact` asks for equal paths. `own_bucket` instead of them: all that a
    program does with the run's bucket, which holds `stored_bytes` at most. Caps are in requests and bytes;
    `bytes_sent` counts what goes to the store. After `expires`, in seconds since the epoch, nothing passes.
    """

    name: str
    store: Literal["course", "run"]
    allowed: tuple[tuple[str, str], ...]
    exact: bool
    requests: int
    bytes_total: int
    bytes_sent: int
    own_bucket: bool = False
    stored_bytes: int | None = None
    expires: float | None = None


class Servers(Protocol):
    """Started or attached to at the first use of any of these."""

    @property
    def measures(self) -> bool:
        """Whether `usage` is known here: a real OpenWhisk tells nobody."""
        ...

    def most_memory_mb(self) -> int | None:
        """The largest memory limit that a function may have; None where OpenWhisk names none. Starts nothing."""
        ...

    def functions(self) -> Functions: ...

    def course_bucket(self) -> Bucket:
        """The course's own bucket: parameters, checkpoints, what predictions read and answer."""
        ...

    def course_access(self) -> StoreAccess: ...

    def run_bucket(self) -> Bucket:
        """The run's own bucket, with the run's own key: what its workers may read and change."""
        ...

    def run_key(self, valid_for: timedelta) -> Key:
        """For student code: opens the run's bucket through the run's forwarder, for so long at least."""
        ...

    def install(self, image: ProcessImage | DockerImage) -> None:
        """Makes an image known by its reference: its folders, or the id that it must have."""
        ...

    def open_forwarder(self, request: ForwarderRequest) -> Path:
        """The Unix socket of a forwarder for an action; asking again with the same name replaces its rules."""
        ...

    def traffic(self, name: str) -> Traffic: ...

    def open_invocations(self, rule: Invoking) -> InvocationKey:
        """A key to OpenWhisk for student code, and the Unix socket where it opens; the same name replaces the rule."""
        ...

    def invoked(self, name: str) -> Invoked:
        """What was done with the key of that name."""
        ...

    def set_reach(self, action: str, services: Sequence[Service]) -> dict[str, str]:
        """Lets an action's containers reach these services only; service -> the host:port that they must use."""
        ...

    def usage(self) -> Sequence[Usage]:
        """What each activation of the run used, measured from outside; none where nobody measures it."""
        ...

    def pool(self) -> Pool | None:
        """The memory pool and its queue; None where the server does not show it (a real OpenWhisk)."""
        ...

    def started(self) -> bool:
        """Whether this run ever had servers that were not stopped since; they may have been killed."""
        ...

    def cancel(self) -> None:
        """Ends every running and waiting activation of the run. Harmless when there is none, or no server."""
        ...

    def stop(self) -> None:
        """Ends the embedded servers of the run. Harmless when they are not running."""
        ...
