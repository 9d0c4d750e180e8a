"""Signals that end a parameter server."""

from __future__ import annotations

import signal
from types import SimpleNamespace

from pipeline.training.server import Worker


class InterruptedEvent:
    """While it is set the next signal comes, as when a group is stopped: each process's own, then its parent's."""

    def __init__(self) -> None:
        self.inside = self.entered_twice = False
        self.worker: Worker

    def set(self) -> None:
        self.entered_twice = self.entered_twice or self.inside
        if not self.inside:
            self.inside = True
            self.worker.handle_exit(signal.SIGTERM, None)
            self.inside = False


def test_a_second_signal_does_not_meet_the_first_ones_lock() -> None:
    stopping = InterruptedEvent()
    worker = stopping.worker = Worker.__new__(Worker)
    worker.app, worker.alive = SimpleNamespace(stopping=stopping), True
    worker.method_queue = SimpleNamespace(defer=lambda callback: None)
    worker.handle_exit(signal.SIGTERM, None)
    assert not worker.alive
    assert not stopping.entered_twice, "an Event's lock is not for a second entry by the same thread"
