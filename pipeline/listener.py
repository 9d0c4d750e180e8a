"""Who watches a run: the command line's live display, a test, nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.run import StageRecord

StageLog = Callable[[str], None]
"""Takes one line for the log of the stage that is running."""


class Listener(Protocol):
    """Told of what happens while it happens. Calls come from one thread at a time and must return at once.

    Texts may hold what a student wrote: whoever shows them passes them through `pipeline.text.printable`.
    """

    def stage_started(self, name: str) -> None: ...

    def stage_ended(self, stage: StageRecord) -> None: ...

    def note(self, stage: str, text: str) -> None:
        """Something that a reader should know now, such as a worker that is queued and why."""
        ...

    def progress(
        self, worker: str, done: int, total: int, loss: float | None, samples_per_s: float | None, state: str
    ) -> None:
        """One worker's steps. `total` is 0 where it is not known; `state` is a word or two, such as `running`."""
        ...


class Silent:
    """A listener that shows nothing."""

    def stage_started(self, name: str) -> None: ...

    def stage_ended(self, stage: StageRecord) -> None: ...

    def note(self, stage: str, text: str) -> None: ...

    def progress(
        self, worker: str, done: int, total: int, loss: float | None, samples_per_s: float | None, state: str
    ) -> None: ...
