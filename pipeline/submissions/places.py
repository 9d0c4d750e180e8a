"""Where everybody waits, for many who ask again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pipeline.submissions.entry import now
from pipeline.submissions.queue import Place, places
from pipeline.submissions.spool import Spool

FRESH_S = 0.5


class Places:
    """The places in a spool, worked out at most twice a second, or when somebody new asks. Threads may share one."""

    def __init__(self, spool: Spool, clock: Callable[[], float] = time.monotonic) -> None:
        self.spool, self.clock = spool, clock
        self.found: dict[str, Place] = {}
        self.until = 0.0
        self.lock = threading.Lock()

    def of(self, submission: str) -> Place | None:
        """None where it does not wait."""
        with self.lock:
            if submission not in self.found or self.clock() >= self.until:
                self.found = places(self.spool.active(), now())
                self.until = self.clock() + FRESH_S
            return self.found.get(submission)
