"""The coordinator: invokes, follows, invokes again, names who waits, and says whose fault an end was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support.scripted_calls import FakeRun

from pipeline.backends.functions import Action, Activation
from pipeline.calling.failures import NOT_STARTED
from pipeline.embedded.contract import Pool, QueueEntry
from pipeline.errors import InfrastructureError, LimitError, SubmissionError, ThrottledError
from pipeline.listener import Silent
from pipeline.settings import Limits
from pipeline.training import coordinator
from pipeline.training.coordinator import Coordinator
from pipeline.training.execution import Memory, WorkerState
from pipeline.training.status import ServerStatus, ShardStatus

STEPS = 10


@dataclass
class Script:
    """OpenWhisk and parameter server in one: each invocation takes the next (steps made, record) of its worker."""

    plan: dict[int, list[tuple[int, Activation | None]]]
    steps: dict[int, int] = field(default_factory=dict)
    invocations: list[tuple[int, str]] = field(default_factory=list)
    records: dict[str, Activation | None] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    absent: list[int] = field(default_factory=list)
    queue: list[QueueEntry] = field(default_factory=list)

    def invoke(self, name: str, parameters: Mapping[str, Any]) -> str:
        worker = int(parameters["id"])
        made, record = self.plan[worker].pop(0)
        activation = f"{worker}-{len(self.invocations)}"
        self.steps[worker] = self.steps.get(worker, 0) + made
        self.invocations.append((worker, name))
        self.records[activation] = record
        return activation

    def activation(self, activation_id: str) -> Activation | None:
        return self.records[activation_id]

    def status(self) -> ServerStatus:
        shards = (
            ShardStatus(shard=n, steps=self.steps.get(n, 0), finished=self.steps.get(n, 0) >= STEPS)
            for n in range(len(self.plan))
        )
        return ServerStatus(version=sum(self.steps.values()), shards=tuple(shards))

    def pool(self) -> Pool:
        return Pool(size_mb=1024, busy_mb=768, idle_mb=0, prewarmed_mb=256, containers=3, queue=tuple(self.queue))

    def put_action(self, action: Action) -> None: ...
    def delete_action(self, name: str) -> None: ...
    def server_limits(self) -> Mapping[str, Any]:
        return {}

    def logs(self, activation_id: str) -> tuple[str, ...]:
        return ()


def record(*, success: bool = True, status: str = "success", error: str = "") -> Activation:
    result = {"error": error} if error else {"code": 200}
    return Activation("a" * 32, "train", 0.0, 1.0, success, status, result, 10, 0.0, None, False)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(FakeRun(tmp_path))  # type: ignore[arg-type]


def train(memory: Memory, script: Script, monkeypatch: pytest.MonkeyPatch, **limits: float) -> ServerStatus:
    monkeypatch.setattr(coordinator, "POLL_S", 0.01)
    workers = tuple(WorkerState(number=n, token=f"token-{n}") for n in range(len(script.plan)))
    memory.update(workers=workers, shard_steps=(STEPS,) * len(workers))
    return Coordinator(
        memory,
        script,
        "run-train",
        Limits.model_validate(limits),
        parameters=lambda worker: {"id": str(worker.number)},
        status=script.status,
        lost=lambda worker: script.lost.append(worker.number),
        absent=lambda worker: script.absent.append(worker.number),
        pool=script.pool,
        listener=Silent(),
        log=lambda _text: None,
    ).train()


def test_each_worker_is_invoked_until_its_shard_is_done(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script({0: [(STEPS, record())], 1: [(4, record()), (3, record()), (3, record())]})

    status = train(memory, script, monkeypatch)

    assert status.version == 2 * STEPS
    assert [len(worker.activations) for worker in memory.state.workers] == [1, 3]
    assert all(worker.finished for worker in memory.state.workers)
    assert script.lost == []


def test_a_worker_that_handed_back_while_it_waited_for_others_has_not_failed(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often: the time of the whole job bounds it."""
    waited = replace(record(), result={"code": 200, "handed_back": True})
    script = Script({0: [(4, record()), *[(0, waited)] * 5, (6, record())], 1: [(STEPS, record())]})

    train(memory, script, monkeypatch)

    assert [len(worker.activations) for worker in memory.state.workers] == [7, 1]
    assert script.lost == []


@dataclass
class Late(Script):
    """The last gradient of worker 0 waits for others until the server was asked five times more."""

    asked: int = 0

    def status(self) -> ServerStatus:
        now = super().status()
        first = now.shards[0]
        if first.steps < STEPS:
            return now
        self.asked += 1
        if self.asked < 5:
            first = first.model_copy(update={"steps": 0, "finished": False, "complete": True})
        return now.model_copy(update={"shards": (first, *now.shards[1:])})


def test_a_worker_whose_last_gradient_waits_for_others_is_waited_for(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Late({0: [(STEPS, record())], 1: [(STEPS, record())]})

    train(memory, script, monkeypatch)

    assert len(script.invocations) == 2 and script.lost == []


def test_a_crash_after_some_steps_is_invoked_again_and_the_server_is_told(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = record(success=False, status="action developer error", error="The action did not return")
    script = Script({0: [(5, crash), (5, record())]})

    train(memory, script, monkeypatch)

    assert script.lost == [0]
    assert len(memory.state.workers[0].activations) == 2


@pytest.mark.parametrize(
    ("failed", "error", "tries"),
    [
        (
            record(success=False, status="application error", error="model.py, line 3: no"),
            SubmissionError,
            1,
        ),
        (record(success=False, status="action developer error", error="exhausted its memory"), LimitError, 1),
        (record(success=False, status="action developer error", error="started too many processes"), LimitError, 1),
        (record(success=False, status="action developer error", error="exceeded its time limits of 1"), LimitError, 1),
        (record(success=False, status="action developer error", error="exited unexpectedly"), SubmissionError, 3),
        (record(success=False, status="application error", error="infrastructure: no store"), InfrastructureError, 3),
        (record(success=False, status="whisk internal error"), InfrastructureError, 3),
        (
            record(success=False, status="action developer error", error=NOT_STARTED),
            InfrastructureError,
            3,
        ),
        (record(), SubmissionError, 3),
    ],
)
def test_failures_without_a_step_end_the_run_with_whose_fault_it_was(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, failed: Activation, error: type[Exception], tries: int
) -> None:
    script = Script({0: [(0, failed)] * 3})

    with pytest.raises(error) as caught:
        train(memory, script, monkeypatch)

    assert "worker-0" in str(caught.value)
    assert len(script.invocations) == tries


def test_a_step_between_failures_starts_the_count_anew(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = record(success=False, status="action developer error", error="gone")
    script = Script({0: [(0, crash), (0, crash), (1, crash), (0, crash), (9, record())]})

    train(memory, script, monkeypatch)

    assert len(script.invocations) == 5


def test_a_memory_kill_after_steps_is_not_the_end_yet(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = record(success=False, status="action developer error", error="exhausted its memory")
    script = Script({0: [(5, killed), (5, record())]})

    train(memory, script, monkeypatch)

    assert len(script.invocations) == 2


def test_a_queued_worker_is_named_with_the_reason(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script({0: [(STEPS, None)]})
    entry = QueueEntry(
        activation="0-0", namespace="guest", action="t", memory_mb=256, waiting_s=1, position=1, reason="pool is full"
    )
    script.queue = [entry]
    asked = 0

    def pool() -> Pool:
        nonlocal asked
        asked += 1
        if asked == 3:
            script.queue, script.records["0-0"] = [], record()
        return Script.pool(script)

    script.pool = pool  # type: ignore[method-assign]
    train(memory, script, monkeypatch)

    assert memory.state.notes == ("worker-0 queued: pool is full",)
    assert set(script.absent) == {0}, "the barrier is told not to wait for it"
    assert script.lost == []


def test_workers_that_openwhisk_takes_no_more_of_come_later(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script({n: [(STEPS, record())] for n in range(3)})
    refused = iter(range(2))

    def invoke(name: str, parameters: Mapping[str, Any]) -> str:
        if parameters["id"] == "2" and next(refused, None) is not None:
            raise ThrottledError("Too many requests in the last minute (count: 61, allowed: 60).", wait_s=0.05)
        return Script.invoke(script, name, parameters)

    script.invoke = invoke  # type: ignore[method-assign]
    train(memory, script, monkeypatch)

    assert [worker for worker, _ in script.invocations] == [0, 1, 2]
    assert memory.state.notes == (
        "worker-2 not started: Too many requests in the last minute (count: 61, allowed: 60).",
    )
    assert script.absent == [2, 2], "the others do not wait for it"


@pytest.mark.parametrize(("others", "invocations"), [(True, 1), (False, 3)])
def test_in_a_queue_that_nobody_sees_a_worker_waits_while_others_fill_the_pool(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, others: bool, invocations: int
) -> None:
    """Invoked again it would only stand in the queue twice; when nobody is in its way, it is lost."""
    script = Script({0: [(0, None)] * 3, 1: [(1, None) if others else (STEPS, record())]})
    monkeypatch.setattr(Script, "pool", lambda _: None)
    monkeypatch.setattr(coordinator, "LOST_AFTER_S", -1.2)
    status = script.status

    def busy() -> ServerStatus:
        shards = [one.model_copy(update={"registered": others and one.shard == 1}) for one in status().shards]
        return ServerStatus(version=0, shards=tuple(shards))

    script.status = busy  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError, match="worker-0"):
        train(memory, script, monkeypatch, start_s=0.3, timeout_s=1, seconds=3)

    assert len([worker for worker, _ in script.invocations if worker == 0]) == invocations


def test_time_that_ran_out_while_a_worker_had_no_turn_is_not_the_students(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script({0: [(1, None)], 1: [(0, None)]})
    script.queue = [
        QueueEntry(activation="1-1", namespace="g", action="t", memory_mb=1, waiting_s=1, position=1, reason="full")
    ]
    with pytest.raises(InfrastructureError, match="worker-1 was queued: full"):
        train(memory, script, monkeypatch, seconds=1)


def test_the_time_of_the_whole_training_is_limited(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitError, match="longer than"):
        train(memory, Script({0: [(0, None)]}), monkeypatch, seconds=0.05)


def test_what_has_been_invoked_is_on_disk(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    train(memory, Script({0: [(STEPS, record())]}), monkeypatch)

    assert Memory(memory.run).state == memory.state
