"""Invocations within a server's minute, records asked for no oftener than they change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.backends.functions.paced import ASK_S, PacedFunctions
from pipeline.errors import ThrottledError

MINUTE = 1000 * 60.0


class Server:
    """Takes what `throttled` does not refuse; counts what reaches it."""

    def __init__(self, per_minute: int = 60) -> None:
        self.per_minute = per_minute
        self.invoked: list[str] = []
        self.asked = 0
        self.throttled: ThrottledError | None = None

    def server_limits(self) -> Mapping[str, Any]:
        return {"actions_per_minute": self.per_minute}

    def invoke(self, name: str, parameters: Mapping[str, Any]) -> str:
        self.invoked.append(name)
        if self.throttled is not None:
            raise self.throttled
        return f"{len(self.invoked):032x}"

    def activation(self, activation_id: str) -> None:
        self.asked += 1


class Clock:
    def __init__(self) -> None:
        self.now = MINUTE + 10

    def __call__(self) -> float:
        return self.now


def paced(server: Server) -> tuple[PacedFunctions, Clock]:
    clock = Clock()
    return PacedFunctions(server, clock=clock), clock  # type: ignore[arg-type]


def test_what_a_minute_has_no_room_for_is_not_even_sent() -> None:
    server = Server(per_minute=3)
    functions, clock = paced(server)
    for _ in range(3):
        functions.invoke("a", {})
    with pytest.raises(ThrottledError, match="3 invocations a minute") as caught:
        functions.invoke("a", {})
    assert len(server.invoked) == 3
    clock.now += caught.value.wait_s
    functions.invoke("a", {})
    assert len(server.invoked) == 4


def test_after_a_refusal_nothing_is_sent_until_it_may_succeed() -> None:
    server = Server()
    functions, clock = paced(server)
    server.throttled = ThrottledError("Too many concurrent requests in flight (count: 30, allowed: 30).", wait_s=5)
    for _ in range(4):
        with pytest.raises(ThrottledError, match="in flight") as caught:
            functions.invoke("a", {})
        clock.now += 1
    assert caught.value.wait_s == 2 and len(server.invoked) == 1, "a refused call counts against the minute too"
    server.throttled = None
    clock.now += 2
    functions.invoke("a", {})


def test_records_are_asked_for_at_a_bounded_rate() -> None:
    server = Server(per_minute=1000)
    functions, clock = paced(server)
    ids = [functions.invoke("a", {}) for _ in range(64)]
    for _ in range(100):
        for one in ids:
            assert functions.activation(one) is None
        clock.now += 0.3
    assert server.asked <= 64 + 10 * 30 + 64
    alone, clock = paced(server)
    server.asked, one = 0, alone.invoke("a", {})
    for _ in range(10):
        alone.activation(one)
        clock.now += ASK_S / 2
    assert server.asked == 5
