"""Writes checkpoints beside the training, one at a time and in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pipeline.training.checkpoints import (
    FINAL,
    INITIAL,
    SLOTS,
    Checkpoint,
    CheckpointStore,
    parameters_object,
    version_name,
)

logger = logging.getLogger(__name__)
STALLED_S = 120.0


class CheckpointWriter:
    """At most one checkpoint is in flight: who asks for the next waits until the last is durable.

    So with a checkpoint each half interval, a resumed run repeats less than one interval.
    """

    def __init__(self, store: CheckpointStore | None, interval: int, scored: frozenset[int]) -> None:
        self.store = store
        self.step = max(1, interval // 2)
        self.scored = scored
        self.slot = 0
        self.durable_version: int | None = None
        self.error = ""
        self.busy: threading.Thread | None = None
        self.writing = threading.Lock()

    def due(self, version: int) -> bool:
        return self.store is not None and (version % self.step == 0 or version in self.scored)

    def initial(self, checkpoint: Checkpoint) -> None:
        """Keeps the initial parameters; returns when they are durable. Raises what the store raises."""
        if self.store is None:
            return
        self.store.put(INITIAL, parameters_object(checkpoint.schema, checkpoint.values, checkpoint.version))
        self.put(checkpoint)

    def begin(self, checkpoint: Checkpoint) -> None:
        """Starts writing; returns at once unless the last one is still being written."""
        self.wait()
        self.busy = threading.Thread(target=self.attempt, args=(self.put, checkpoint), name="checkpoint", daemon=True)
        self.busy.start()

    def final(self, checkpoint: Checkpoint) -> None:
        """Keeps the final parameters; returns when they are durable. Raises what the store raises."""
        self.wait()
        if self.store is None:
            return
        self.put(checkpoint)
        self.store.put(FINAL, parameters_object(checkpoint.schema, checkpoint.values, checkpoint.version))

    def now(self, checkpoint: Checkpoint) -> None:
        self.wait()
        self.put(checkpoint)

    def wait(self) -> None:
        if self.busy is not None:
            self.busy.join(STALLED_S)

    def attempt(self, write: Callable[[Checkpoint], None], checkpoint: Checkpoint) -> None:
        """A store that fails stops no training: the fault shows in the status, the next checkpoint tries again."""
        try:
            write(checkpoint)
            self.error = ""
        except Exception as error:
            self.error = f"checkpoint of version {checkpoint.version}: {type(error).__name__}: {error}"
            logger.error("%s", self.error)

    def put(self, checkpoint: Checkpoint) -> None:
        if self.store is None:
            return
        version = checkpoint.version
        with self.writing:
            if version in self.scored:
                self.store.put(version_name(version), parameters_object(checkpoint.schema, checkpoint.values, version))
            if version >= (self.durable_version or 0):
                self.store.put(SLOTS[self.slot], checkpoint.to_bytes())
                self.slot = 1 - self.slot
                self.durable_version = version
