"""How busy the whole host was while something ran."""

from __future__ import annotations

import psutil


class HostLoad:
    """Percent of all processors' time, between entering and leaving the block."""

    percent: float | None = None

    def __enter__(self) -> HostLoad:
        self.before = psutil.cpu_times()
        return self

    def __exit__(self, *_: object) -> None:
        after = psutil.cpu_times()
        total = sum(after) - sum(self.before)
        idle = (after.idle - self.before.idle) + (getattr(after, "iowait", 0.0) - getattr(self.before, "iowait", 0.0))
        self.percent = round(100 * (1 - idle / total), 1) if total > 0 else None
