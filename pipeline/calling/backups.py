"""Backups for stragglers: a call that takes much longer than the others is made a second time, and the first to end
well counts (Dean and Ghemawat, MapReduce, OSDI 2004, 3.6)."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Backups:
    """When a call is late: `share` of all calls have ended, and it runs for `times` their median, and for `least_s`."""

    share: float = 0.5
    times: float = 2.0
    least_s: float = 5.0


class Stragglers:
    """How long calls have run, in seconds, the time in a queue left out where the server shows it."""

    def __init__(self, rule: Backups | None, calls: int) -> None:
        self.rule = rule
        self.calls = calls
        self.since: dict[str, float] = {}
        self.ran: list[float] = []

    def waits(self, call: str) -> None:
        """It has not begun yet: invoked just now, or still seen in a queue."""
        self.since[call] = time.monotonic()

    def ended(self, call: str) -> None:
        self.ran.append(time.monotonic() - self.since.get(call, time.monotonic()))

    def bound(self) -> float | None:
        """How long a call may run without being late; None while too few have ended to say."""
        if self.rule is None or not self.ran or len(self.ran) < self.rule.share * self.calls:
            return None
        return max(self.rule.least_s, self.rule.times * statistics.median(self.ran))

    def is_late(self, call: str) -> bool:
        bound = self.bound()
        return bound is not None and call in self.since and time.monotonic() - self.since[call] > bound
