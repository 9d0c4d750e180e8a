"""Containers: contract. What the invoker asks of whoever makes containers, the process sandbox or docker.

An activation's life: `create`, then for each activation `begin`, `request("/init")` once and `request("/run")`, then
`logs`, `usage`; `stop` at the end. Addresses, sockets and pipes are the maker's own affair; `exchange.post` speaks
the HTTP part and `logs.LogBuffer` splits the two streams, for makers to use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.embedded.contract import Reach, Usage
from pipeline.embedded.openwhisk.logs import LogLine


@dataclass(frozen=True)
class ContainerSpec:
    """A container to make. Exactly one of `image` (a reference) and `kind` (`python:3...`, our runner) is given.

    `name` is unique and fit for a folder or a docker name. `variables` go to the environment of the container's
    first process; init parameters do not, they come with /init.
    """

    name: str
    namespace: str
    action: str
    version: str
    memory_mb: int
    image: str | None = None
    kind: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What /init or /run answered. Header names are lower case.

    `length` is what Content-Length said; `body` may be cut at the limit that the request gave.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    length: int


@dataclass(frozen=True)
class ExitState:
    """How a container ended. `killed_for`: empty, `memory`, `processes`."""

    code: int
    killed_for: str = ""


class ContainerError(Exception):
    """A container did not do what it should; the message is for the activation's record."""


class NoContainerError(ContainerError):
    """No container could be made, and the action is not at fault (a full disk, a broken sandbox)."""


class NoImageError(ContainerError):
    """The image is unknown or cannot be started: the action's developer is at fault."""


class NoReplyError(ContainerError):
    """The connection ended, or was never made, without a whole reply; a reply without Content-Length counts so."""


class NoReplyInTimeError(ContainerError):
    """There was no whole reply within the time given."""


class Container(Protocol):
    """One container: a process tree that serves /init and /run, one activation at a time."""

    @property
    def id(self) -> str: ...

    def begin(self, activation: str, logs_bytes: int) -> None:
        """From here on output, bounded to `logs_bytes` of text, and measurements are this activation's."""
        ...

    async def request(self, path: str, body: bytes, *, timeout_s: float, reply_limit: int) -> Reply:
        """POSTs JSON on a connection of its own, which is tried again while it is refused.

        Raises NoReplyError at once when the container has ended, NoReplyInTimeError after `timeout_s` seconds.
        At most `reply_limit` bytes of the reply's body are kept, the rest is not waited for.
        """
        ...

    async def logs(self, wait_s: float) -> tuple[LogLine, ...]:
        """Takes the lines since `begin`, as soon as both streams showed the sentinel or ended, or after `wait_s`.

        Sentinels are stripped; where lines were dropped for the limit, a last line says so.
        """
        ...

    async def exited(self, wait_s: float = 0.0) -> ExitState | None:
        """How the container ended, waiting up to `wait_s` for that; None while it runs."""
        ...

    async def usage(self) -> Usage:
        """What the activation of the last `begin` used until now, also after the container's end."""
        ...

    async def pause(self) -> None:
        """Holds all processes still until `resume`; only between two activations. Harmless where that cannot be."""
        ...

    async def resume(self) -> None:
        """Lets a paused container go on. Harmless where it is not paused. Raises NoContainerError where it cannot."""
        ...

    async def stop(self) -> None:
        """Ends the whole process tree at once and frees what belonged to it. Harmless a second time."""
        ...


class ContainerMaker(Protocol):
    """Makes containers of one sandbox."""

    async def available(self) -> str:
        """Empty when containers can be made here, else the reason why not and what to do."""
        ...

    async def create(self, spec: ContainerSpec) -> Container:
        """Starts a container; it need not answer yet. Raises NoImageError, NoContainerError.

        Cancelled, it leaves nothing behind.
        """
        ...

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        """Sets what containers of one action reach, those made from now on; service -> the host:port inside."""
        ...

    async def close(self) -> None:
        """Ends every container that this maker made."""
        ...
