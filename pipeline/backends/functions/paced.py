"""Calls to an OpenWhisk that others use too: within its minute, and asking no oftener than its answers change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.backends.functions import Action, Activation, Functions
from pipeline.errors import ThrottledError

ASK_S = 1.0
ASKS_PER_S = 10.0
"""Of all activations together: with many of them each is asked for less often."""
MINUTE_S = 60.0


class PacedFunctions:
    """Functions of one namespace. Only invocations count against the minute; other calls are free.

    Of one thread, but for `call`, which many may make. What would be refused is not sent, since a refused call counts
    as well: after as many invocations as a minute may have, and after each refusal, `invoke` raises ThrottledError by
    itself until it may be tried again.
    """

    def __init__(self, functions: Functions, *, clock: Callable[[], float] = time.time) -> None:
        self.functions = functions
        self.clock = clock
        self.allowed: int | None = None
        self.minute, self.invoked = 0, 0
        self.held: tuple[float, str] = (0.0, "")
        self.waiting: dict[str, float] = {}
        self.lock = threading.Lock()

    def server_limits(self) -> Mapping[str, Any]:
        return self.functions.server_limits()

    def put_action(self, action: Action) -> None:
        self.functions.put_action(action)

    def action_names(self, run: str) -> list[str]:
        return self.functions.action_names(run)

    def delete_action(self, name: str) -> None:
        self.functions.delete_action(name)

    def activation_ids(self, action: str) -> list[str]:
        return self.functions.activation_ids(action)

    def logs(self, activation_id: str) -> tuple[str, ...]:
        return self.functions.logs(activation_id)

    def invoke(self, name: str, parameters: Mapping[str, Any]) -> str:
        with self.counted():
            activation = self.functions.invoke(name, parameters)
        self.waiting[activation] = 0.0
        return activation

    def call(self, name: str, parameters: Mapping[str, Any]) -> tuple[str, Activation | None]:
        with self.counted():
            return self.functions.call(name, parameters)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Around one invocation. Raises ThrottledError where it is not to be tried yet, or was refused."""
        with self.lock:
            self.keep_pace()
            self.invoked += 1
        try:
            yield
        except ThrottledError as error:
            self.held = (self.clock() + error.wait_s, error.message)
            raise

    def keep_pace(self) -> None:
        """Raises ThrottledError where another invocation is not to be tried yet."""
        now = self.clock()
        until, why = self.held
        if now < until:
            raise ThrottledError(why, wait_s=until - now)
        if int(now // MINUTE_S) != self.minute:
            self.minute, self.invoked = int(now // MINUTE_S), 0
        if self.allowed is None:
            limit = self.server_limits().get("actions_per_minute")
            self.allowed = limit if isinstance(limit, int) else 0
        if self.allowed and self.invoked >= self.allowed:
            text = f"OpenWhisk takes {self.allowed} invocations a minute, and this run has made them"
            raise ThrottledError(text, wait_s=MINUTE_S - now % MINUTE_S)

    def activation(self, activation_id: str) -> Activation | None:
        """The record; None while it runs, also where it is too soon to ask again."""
        now = self.clock()
        if now < self.waiting.get(activation_id, 0.0):
            return None
        record = self.functions.activation(activation_id)
        if record is None:
            self.waiting[activation_id] = now + max(ASK_S, len(self.waiting) / ASKS_PER_S)
        else:
            self.waiting.pop(activation_id, None)
        return record
