"""Invokes the workers of a run, follows them until every shard is done, and invokes again what ended before.

A run outlives an activation (docs/design.md, decision 8): a worker hands back shortly before its deadline and is
invoked again; a dead worker's shard goes to its next activation. The parameter server alone knows how far a shard is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.backends.functions import Activation, Functions
from pipeline.calling.failures import LOST, Failure, failure
from pipeline.embedded.contract import Pool
from pipeline.errors import InfrastructureError, LimitError, ThrottledError
from pipeline.listener import Listener, StageLog
from pipeline.settings import Limits
from pipeline.training.execution import Memory, WorkerState
from pipeline.training.status import ServerStatus, ShardStatus

POLL_S = 0.3
FAILURES_WITHOUT_A_STEP = 3
FAILURES_IN_ALL = 30
LOST_AFTER_S = 60.0
NO_STEP = "it made no step within the time limit of its action"
KEEP_TIME_S = 2.0
WAITS, QUEUED = "not started", "queued"


class Coordinator:
    """Everything that training needs, put together by `pipeline.jobs.train`.

    `parameters` gives the invocation parameters of a worker, with fresh URLs each time; `status` asks the parameter
    server; `lost` tells it that a worker is dead, `absent` that one waits for room; `pool` asks the embedded
    server for its queue.
    """

    def __init__(
        self,
        memory: Memory,
        functions: Functions,
        action: str,
        limits: Limits,
        *,
        parameters: Callable[[WorkerState], Mapping[str, Any]],
        status: Callable[[], ServerStatus],
        lost: Callable[[WorkerState], None],
        absent: Callable[[WorkerState], None],
        pool: Callable[[], Pool | None],
        listener: Listener,
        log: StageLog,
    ) -> None:
        self.memory = memory
        self.functions = functions
        self.action = action
        self.limits = limits
        self.parameters = parameters
        self.status = status
        self.lost = lost
        self.absent = absent
        self.pool = pool
        self.listener = listener
        self.log = log
        self.begun = time.monotonic() - memory.state.training_s
        self.speed = Speed()
        self.not_before = 0.0
        self.begun_ones: set[str] = set()
        self.busy_at = 0.0

    def train(self) -> ServerStatus:
        """Returns the server's status when all shards are done.

        Raises SubmissionError when a worker keeps failing, LimitError when time or memory is up.
        """
        while True:
            status = self.status()
            if any(shard.registered for shard in status.shards):
                self.busy_at = time.time()
            for worker in self.memory.state.workers:
                self.follow(worker, status.shards[worker.number])
            self.show(status)
            if all(worker.finished for worker in self.memory.state.workers):
                self.memory.update(training_s=time.monotonic() - self.begun)
                return status
            self.check_time(status)
            time.sleep(POLL_S)

    def follow(self, worker: WorkerState, shard: ShardStatus) -> None:
        """One look at one worker: invoke it, name it as queued, or deal with the end of its activation."""
        if worker.finished:
            return
        if worker.running is None:
            if time.monotonic() >= self.not_before:
                self.invoke(worker, shard)
            return
        if shard.registered:
            self.begun_ones.add(worker.running)
        record = self.functions.activation(worker.running)
        if record is not None:
            self.ended(worker, shard, record)
        elif not shard.registered:
            self.watch_start(worker, shard)

    def invoke(self, worker: WorkerState, shard: ShardStatus) -> None:
        try:
            activation = self.functions.invoke(self.action, self.parameters(worker))
        except ThrottledError as error:
            self.not_before = time.monotonic() + error.wait_s
            self.name_state(worker, f"{WAITS}: {error.message}")
            self.absent(worker)
            return
        self.memory.update_worker(
            worker.number,
            running=activation,
            activations=(*worker.activations, activation),
            invoked_at=time.time(),
            steps_at_invocation=shard.steps,
            state="starting",
        )

    def watch_start(self, worker: WorkerState, shard: ShardStatus) -> None:
        """A worker runs when it has registered; one that has not is named, with the reason where it is known."""
        waited = time.time() - worker.invoked_at
        pool = self.pool()
        reason = self.queued(worker, pool)
        if reason:
            self.name_state(worker, f"{QUEUED}: {reason}")
            self.absent(worker)
        elif waited > self.limits.start_s and shard.steps == worker.steps_at_invocation:
            self.name_state(worker, f"{WAITS} within {self.limits.start_s:.0f} s")
        if pool is None and worker.running not in self.begun_ones:
            # in a queue that nobody sees an activation waits for as long as others fill the pool
            waited = time.time() - max(worker.invoked_at, self.busy_at)
        if not reason and waited > self.limits.start_s + self.limits.timeout_s + LOST_AFTER_S:
            self.again(worker, shard, LOST)

    def queued(self, worker: WorkerState, pool: Pool | None) -> str:
        entries = pool.queue if pool else ()
        return next((entry.reason for entry in entries if entry.activation == worker.running), "")

    def name_state(self, worker: WorkerState, state: str) -> None:
        if worker.state == state:
            return
        self.memory.update_worker(worker.number, state=state)
        if not worker.state.startswith(state.split(":")[0]):
            self.log(f"{worker.name} {state}")
            self.memory.note(f"{worker.name} {state}")

    def ended(self, worker: WorkerState, shard: ShardStatus, record: Activation) -> None:
        """The end of an activation: done, handed back in time, or a failure of one kind or another."""
        if record.success and not shard.finished:
            # it may have made steps since the server was asked
            shard = self.status().shards[worker.number]
            if shard.complete and not shard.finished:
                return
        if record.success and shard.finished:
            self.memory.update_worker(worker.number, running=None, finished=True, state="finished")
            self.log(f"{worker.name} finished its shard after {shard.steps} steps")
        elif record.success and (shard.steps > worker.steps_at_invocation or handed_back(record)):
            self.memory.update_worker(worker.number, running=None, stalled=0, state="handed back")
            self.log(f"{worker.name} handed back at step {shard.steps}, is invoked again")
        else:
            self.again(worker, shard, unfinished(record))

    def again(self, worker: WorkerState, shard: ShardStatus, why: Failure) -> None:
        """A failed activation is tried again while that may help: three times in a row without a step between."""
        self.lost(worker)
        progressed = shard.steps > worker.steps_at_invocation
        stalled = 1 if progressed else worker.stalled + 1
        self.log(f"{worker.name}: {why.reason} (activation {worker.running}, step {shard.steps})")
        self.memory.update_worker(worker.number, running=None, stalled=stalled, state="failed")
        hopeless = not why.again and not (progressed and why.error is LimitError)
        if hopeless or stalled >= FAILURES_WITHOUT_A_STEP or len(worker.activations) >= FAILURES_IN_ALL:
            hint = why.hint or f"its log is logs/{worker.name}.log"
            raise why.error(f"{worker.name}: {why.reason}", hint=hint)

    def check_time(self, status: ServerStatus) -> None:
        used = time.monotonic() - self.begun
        if used > self.memory.state.training_s + KEEP_TIME_S:  # a resumed run goes on counting from here
            self.memory.update(training_s=used)
        if used > self.limits.seconds:
            self.blame_those_that_wait(status)
            raise LimitError(
                f"training took longer than {self.limits.seconds:.0f} s",
                hint="train fewer epochs, or make a step cheaper",
            )

    def blame_those_that_wait(self, status: ServerStatus) -> None:
        """Raises InfrastructureError where OpenWhisk never gave a worker its turn: with all there was time enough."""
        unseen = (WAITS,) if self.pool() is None else (f"{WAITS}:",)
        for worker in self.memory.state.workers:
            shard = status.shards[worker.number]
            if worker.state.startswith((QUEUED, *unseen)) and not shard.steps and not shard.registered:
                raise InfrastructureError(
                    f"training took longer than {self.limits.seconds:.0f} s, and {worker.name} was {worker.state}",
                    hint="a larger pool, higher limits of the server, or an assignment with fewer workers",
                )

    def show(self, status: ServerStatus) -> None:
        for worker in self.memory.state.workers:
            shard, total = status.shards[worker.number], self.memory.state.shard_steps[worker.number]
            speed = self.speed.of(worker.number, shard.samples)
            state = "running" if shard.registered and not worker.finished else worker.state
            self.listener.progress(worker.name, shard.steps, total, shard.loss, speed, state)


class Speed:
    """Samples per second of each worker, over the last few seconds."""

    def __init__(self, window_s: float = 5.0) -> None:
        self.window_s = window_s
        self.seen: dict[int, list[tuple[float, int]]] = {}

    def of(self, worker: int, samples: int) -> float | None:
        now = time.monotonic()
        points = self.seen.setdefault(worker, [])
        points.append((now, samples))
        while len(points) > 2 and now - points[0][0] > self.window_s:
            points.pop(0)
        seconds = points[-1][0] - points[0][0]
        return (points[-1][1] - points[0][1]) / seconds if seconds > 0 else None


def handed_back(record: Activation) -> bool:
    """Whether a worker without a server says so: waiting for others, or doing rounds again, it makes no new step.

    One that does nothing else meets the time of the whole job.
    """
    return isinstance(record.result, dict) and record.result.get("handed_back") is True


def unfinished(record: Activation) -> Failure:
    """Why an activation ended before its shard was finished."""
    if record.success:
        return Failure("it ended without having finished its shard", hint="let the runner's worker do its work")
    why = failure(record)
    return replace(why, reason=NO_STEP) if why.limit == "time" else why
