"""What the execute stage of a training must remember to go on after a kill. `run.execution_file`."""

from __future__ import annotations

import secrets
from typing import Any

from pydantic import Field

from pipeline.calling.remembered import Remembered, Stage, StageMemory, read
from pipeline.run import Run
from pipeline.training.status import ServerStatus

HIDDEN, VALIDATION = "hidden", "validation"
"""The rows that predictions are made on: those that make the grade, and those that only the plots show."""


class WorkerState(Remembered):
    """One worker and the activations that it has had. `stalled` counts failures in a row without a step between."""

    number: int
    token: str
    activations: tuple[str, ...] = ()
    running: str | None = None
    invoked_at: float = 0.0
    steps_at_invocation: int = 0
    stalled: int = 0
    finished: bool = False
    state: str = ""

    @property
    def name(self) -> str:
        return f"worker-{self.number}"


class PredictionState(Remembered):
    """One prediction: which parameters, which inputs, where its answer lies, and how it went."""

    name: str
    version: int
    inputs: str
    parameters_key: str
    answer_key: str
    activation: str | None = None
    attempts: int = 0
    ended: bool = False
    problem: str = ""
    alone: bool = False

    @property
    def group(self) -> str:
        """Predictions of one group share a container. One on hidden rows shares it with none."""
        return self.name if self.alone or self.inputs == HIDDEN else self.inputs

    @property
    def label(self) -> str:
        """initial, final or checkpoint-N."""
        return self.name.removesuffix(f"-{self.inputs}")


class Execution(Stage):
    """The whole stage. Times in seconds."""

    shard_keys: tuple[str, ...] = ()
    shard_steps: tuple[int, ...] = ()
    shard_rows: tuple[int, ...] = ()
    input_keys: dict[str, str] = Field(default_factory=dict)
    workers: tuple[WorkerState, ...] = ()
    server: tuple[int, float] | None = None
    trained: bool = False
    training_s: float = 0.0
    status: ServerStatus | None = None
    predictions: tuple[PredictionState, ...] = ()
    secrets: tuple[str, ...] = Field(default=(), description="beside the workers' tokens; masked in their logs")


class Memory(StageMemory[Execution]):
    """Of a training."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, Execution)

    def update_worker(self, number: int, **changes: Any) -> WorkerState:
        worker = self.state.workers[number].model_copy(update=changes)
        self.update(workers=(*self.state.workers[:number], worker, *self.state.workers[number + 1 :]))
        return worker

    def update_prediction(self, name: str, **changes: Any) -> PredictionState:
        changed = {one.name: one for one in self.state.predictions}
        changed[name] = changed[name].model_copy(update=changes)
        self.update(predictions=tuple(changed.values()))
        return changed[name]


def load(run: Run) -> Execution:
    return read(run, Execution)


def new_token() -> str:
    """For one worker of one run; it opens nothing else."""
    return secrets.token_urlsafe(24)
