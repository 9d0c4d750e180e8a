"""The parameter server without HTTP: named arrays, an optimiser, who takes part, and how far each shard is.

One lock guards everything; its condition tells waiting pushes and pulls of a new version. It knows no model.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.training import snapshots
from pipeline.training.answer import Answer
from pipeline.training.checkpoint_writer import CheckpointWriter
from pipeline.training.checkpoints import Checkpoint, CheckpointStore
from pipeline.training.history import LossHistory
from pipeline.training.members import Members, Worker
from pipeline.training.model_state import ModelState, check_gradient, initial_values, new_model
from pipeline.training.refusal import RefusalError
from pipeline.training.schema import Schema
from pipeline.training.server_settings import ServerSettings
from pipeline.training.shard_progress import Gradient, Shard

logger = logging.getLogger(__name__)


class ParameterServer:
    """Raises InfrastructureError where `store` has a checkpoint that does not fit the settings."""

    def __init__(self, settings: ServerSettings, store: CheckpointStore | None = None) -> None:
        self.settings = settings
        self.members = Members(settings)
        self.changed = threading.Condition(threading.Lock())
        self.queue = threading.BoundedSemaphore(settings.queue)
        self.uploading = threading.Lock()
        self.model: ModelState | None = None
        self.version = 0
        self.body: tuple[int, bytes] = (-1, b"")
        self.history = LossHistory()
        self.writer = CheckpointWriter(store, settings.checkpoint_updates, settings.scored_versions)
        self.score: tuple[float, int] | None = None
        self.refused: dict[str, int] = {}
        self.elapsed_before = 0.0
        self.begun = time.monotonic()
        self.closing = False
        self.finishing = False
        if store is not None:
            snapshots.resume(self, store)

    @property
    def ended(self) -> bool:
        """No more gradients are taken: somebody said so, or the settings' number of updates is reached."""
        return self.finishing or 0 < self.settings.updates <= self.version

    @property
    def elapsed(self) -> float:
        return self.elapsed_before + time.monotonic() - self.begun

    @property
    def global_step(self) -> int:
        """Batches of all shards."""
        return sum(shard.accepted.steps for shard in self.members.shards.values())

    def upload(self, schema: Schema, body: bytes) -> bool:
        """Takes the schema and the initial values from the first worker that brings them; True if this was it.

        Later ones must bring the same schema. Raises RefusalError 409 (format, values).
        """
        with self.uploading:
            if self.model is not None:
                self.check_schema(schema.sha256)
                return False
            model = new_model(self.settings, schema, initial_values(schema, body))
            self.writer.initial(snapshots.take(self, model))
            with self.changed:
                self.model = model
                self.changed.notify_all()
        return True

    def check_schema(self, sha256: str) -> None:
        if self.model is not None and sha256 != self.model.schema.sha256:
            raise RefusalError(409, "format", "the model's arrays are not those that this run was started with")

    def parameters_body(self) -> bytes:
        """The flat body of the present version, made once for all who ask."""
        if self.body[0] != self.version and self.model is not None:
            self.body = (self.version, self.model.values.to_bytes())
        return self.body[1]

    # pushes

    def push(self, worker: Worker, gradient: Gradient, wait_s: float) -> Answer:
        """Takes one gradient, makes the update that it completes, and waits where the mode says so.

        Raises RefusalError and changes nothing where the gradient does not fit. A repeated sequence changes nothing
        and gets its answer again.
        """
        with self.queue_slot():
            check_gradient(gradient.values, self.settings.max_gradient_norm)
            with self.changed, in_request(worker):
                shard = worker.shard
                repeated = gradient.sequence == shard.accepted.sequence
                if not repeated:
                    self.check_turn(shard, gradient)
                    shard.accept(gradient, self.scale(gradient))
                    self.update_when_due()
                waited = self.wait(lambda: self.ended or not self.must_wait(shard), wait_s)
                wait_for = self.version + 1 if self.must_wait(shard) and not self.ended else None
                return self.answer(worker, gradient.base, waited, shard.pending is None, wait_for, repeated)

    @contextmanager
    def queue_slot(self) -> Iterator[None]:
        """A place in the bounded queue. Raises RefusalError 503 when there is none for `queue_wait_s`."""
        if not self.queue.acquire(timeout=self.settings.queue_wait_s):
            raise RefusalError(503, "busy", "the queue is full; try again", retry_after_s=1)
        try:
            yield
        finally:
            self.queue.release()

    def answer(
        self,
        worker: Worker | None,
        held: int,
        waited: float,
        updated: bool,
        wait_for: int | None,
        repeated: bool = False,
    ) -> Answer:
        body = self.parameters_body() if self.version > held else None
        finished = self.ended
        if worker is not None:
            worker.lease_until = self.members.clock() + self.settings.lease_s
            figures = worker.shard.figures
            figures.wait_s += waited
            figures.bytes_received += len(body or b"")
            finished = finished or worker.shard.accepted.finished
        return Answer(self.version, updated, body, waited, wait_for, finished, self.global_step, repeated)

    def check_turn(self, shard: Shard, gradient: Gradient) -> None:
        """Refuses what is not this shard's next gradient."""
        accepted = shard.accepted
        if self.closing:
            raise closing()
        if self.model is None:
            raise RefusalError(409, "parameters", "there are no parameters yet: putParameters brings them")
        if self.ended or accepted.finished:
            raise RefusalError(409, "finished", "this shard's training has ended")
        if gradient.sequence != accepted.sequence + 1:
            raise RefusalError(409, "sequence", f"sequence {gradient.sequence} is not {accepted.sequence + 1}")
        if gradient.position != accepted.position or gradient.following <= gradient.position:
            raise RefusalError(409, "position", f"shard {shard.number} stands at {tuple(accepted.position)}")
        stale = self.settings.mode == "sync" and (gradient.base != self.version or self.must_wait(shard))
        if stale or gradient.base > self.version:
            raise RefusalError(409, "version", f"the gradient is of version {gradient.base}; this is {self.version}")

    def scale(self, gradient: Gradient) -> float:
        return 1 / (1 + self.version - gradient.base) if self.settings.scale_by_staleness else 1.0

    def must_wait(self, shard: Shard) -> bool:
        """Sync: this shard has given what the update wants of it. Bounded staleness: it is too far ahead."""
        mode = self.settings.mode
        if mode == "sync":
            return shard.pending is not None and shard.pending.count >= self.rounds()
        if mode == "bounded-staleness" and not shard.accepted.finished:
            others = [one.clock for one in self.members.barrier() if one.worker and one is not shard]
            return shard.clock > min(others, default=shard.clock) + self.settings.staleness
        return False

    def rounds(self) -> int:
        """Gradients that a sync update wants of each live shard: whole rounds, so that order of arrival is nothing."""
        live = len(self.members.barrier()) or 1
        return max(1, -(-self.settings.gradients_per_update // live))

    # updates

    def update_when_due(self) -> None:
        """Makes an update if enough has been contributed."""
        shards = [shard for shard in self.members.ordered() if shard.pending is not None]
        if self.model is None or not shards or self.ended or self.closing:
            return
        waited_for = self.members.barrier()
        if self.settings.mode == "sync":
            wanted = self.rounds()
            due = all(shard.pending is not None and shard.pending.count >= wanted for shard in waited_for)
        else:
            count = sum(shard.pending.count for shard in shards if shard.pending)
            due = count >= max(1, self.settings.gradients_per_update) or not waited_for
        if due:
            self.update(self.model, shards)

    def update(self, model: ModelState, shards: list[Shard]) -> None:
        contributions = [shard.pending for shard in shards if shard.pending is not None]
        count = model.update(contributions)
        self.version += 1
        loss = sum(one.losses for one in contributions) / count
        self.history.add(self.version, loss, sum(one.samples for one in contributions), self.elapsed)
        for shard in shards:
            shard.apply()
        if self.writer.due(self.version) or self.members.all_finished or self.ended:
            self.writer.begin(snapshots.take(self, model))
        self.changed.notify_all()

    def sweep(self) -> None:
        """Lets dead workers, and shards that nobody came for, leave the barrier. Called a few times a second."""
        with self.changed:
            for worker_id in self.members.expire():
                logger.warning("worker %s is lost: its lease is over", worker_id)
            self.update_when_due()
            self.changed.notify_all()

    # pulls

    def pull(self, worker: Worker | None, at_least: int, held: int, timeout_s: float) -> Answer:
        """The parameters when there is version `at_least`; waits for it at most `timeout_s`."""
        with self.changed, in_request(worker):
            waited = self.wait(lambda: self.model is not None and (self.version >= at_least or self.ended), timeout_s)
            if self.model is None:
                raise RefusalError(404, "parameters", "there are no parameters yet: putParameters brings them")
            enough = self.version >= at_least or self.ended
            return self.answer(worker, held, waited, enough, None if enough else at_least)

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> float:
        """Waits for `ready` or the time; the seconds waited. Raises RefusalError 503 when the server stops."""
        if ready():
            return 0.0
        began = time.monotonic()
        self.changed.wait_for(lambda: self.closing or ready(), timeout_s)
        if self.closing:
            raise closing()
        return time.monotonic() - began

    # the end

    def snapshot(self) -> Checkpoint:
        """Raises RefusalError 404 while there are no parameters."""
        with self.changed:
            if self.model is None:
                raise RefusalError(404, "parameters", "there are no parameters yet")
            return snapshots.take(self, self.model)

    def finish(self) -> int:
        """Ends the training: no more gradients are taken, the final parameters are durable. Their version."""
        with self.changed:
            self.finishing = True
            self.changed.notify_all()
        last = self.snapshot()
        self.writer.final(last)
        return last.version

    def close(self) -> None:
        """Lets everybody go and keeps a last checkpoint."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        if self.model is not None:
            self.writer.now(self.snapshot())


def closing() -> RefusalError:
    return RefusalError(503, "closing", "the server is being stopped", retry_after_s=1)


@contextmanager
def in_request(worker: Worker | None) -> Iterator[None]:
    """A worker whose request is being answered is alive, however long that takes."""
    if worker is None:
        yield
        return
    worker.in_request += 1
    try:
        yield
    finally:
        worker.in_request -= 1
