"""Functions: contract. OpenWhisk's REST API is the only way to run an action (docs/design.md, decision 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class ActionLimits:
    memory_mb: int
    timeout_s: float
    logs_mb: int


@dataclass(frozen=True)
class Action:
    """An action to register. `parameters` are bound to it and reach each invocation."""

    name: str
    image: str
    limits: ActionLimits
    parameters: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Activation:
    """An activation record. Times in seconds since the epoch; `wait_s` in the queue, `init_s` of a cold start."""

    id: str
    action: str
    start: float
    end: float
    success: bool
    status: str
    result: Any
    size_bytes: int
    wait_s: float
    init_s: float | None
    timed_out: bool
    logs: tuple[str, ...] = ()


class Functions(Protocol):
    """An OpenWhisk, embedded or real."""

    def server_limits(self) -> Mapping[str, Any]:
        """What `GET /` says of the server's limits."""
        ...

    def put_action(self, action: Action) -> None: ...

    def action_names(self, run: str) -> list[str]:
        """The names of all actions whose annotation `run` says so."""
        ...

    def delete_action(self, name: str) -> None:
        """Deletes the action; one that is not there is no error."""
        ...

    def invoke(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Starts an activation without waiting; its id. Raises ThrottledError where the server takes none now."""
        ...

    def call(self, name: str, parameters: Mapping[str, Any]) -> tuple[str, Activation | None]:
        """Invokes and waits for the end: id and record; no record where that takes longer than the server waits.

        Threads may call at a time. Raises ThrottledError where the server takes none now.
        """
        ...

    def activation(self, activation_id: str) -> Activation | None:
        """The record, or None while it runs (OpenWhisk does not know an activation that has not ended)."""
        ...

    def activation_ids(self, action: str) -> list[str]:
        """The activations of an action that have ended, whoever invoked it, the oldest first."""
        ...

    def logs(self, activation_id: str) -> tuple[str, ...]: ...
