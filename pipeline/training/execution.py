"""What the execute stage must remember to go on after a kill. `run.execution_file`."""

from __future__ import annotations

import secrets
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import InfrastructureError
from pipeline.files import write_json
from pipeline.run import Run
from pipeline.training.status import ServerStatus


class Remembered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


class Execution(Remembered):
    """The whole stage. Times in seconds."""

    shard_keys: tuple[str, ...] = ()
    shard_steps: tuple[int, ...] = ()
    shard_rows: tuple[int, ...] = ()
    input_keys: dict[str, str] = {}
    workers: tuple[WorkerState, ...] = ()
    server: tuple[int, float] | None = None
    trained: bool = False
    training_s: float = 0.0
    status: ServerStatus | None = None
    host_cpu_percent: float | None = None
    predictions: tuple[PredictionState, ...] = ()
    notes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = Field(default=(), description="beside the workers' tokens; masked in their logs")


class Memory:
    """The execution's state in memory and on disk; replaced as a whole at each change."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.state = load(run)

    def update(self, **changes: Any) -> None:
        self.state = self.state.model_copy(update=changes)
        write_json(self.run.execution_file, self.state.model_dump(mode="json"), mode=0o600)

    def update_worker(self, number: int, **changes: Any) -> WorkerState:
        worker = self.state.workers[number].model_copy(update=changes)
        self.update(workers=(*self.state.workers[:number], worker, *self.state.workers[number + 1 :]))
        return worker

    def update_prediction(self, name: str, **changes: Any) -> PredictionState:
        changed = {one.name: one for one in self.state.predictions}
        changed[name] = changed[name].model_copy(update=changes)
        self.update(predictions=tuple(changed.values()))
        return changed[name]

    def note(self, text: str) -> None:
        if text not in self.state.notes:
            self.update(notes=(*self.state.notes, text))


def load(run: Run) -> Execution:
    try:
        return Execution.model_validate_json(run.execution_file.read_bytes())
    except FileNotFoundError:
        return Execution()
    except ValidationError as error:
        raise InfrastructureError(
            f"{run.execution_file} cannot be read: {error.error_count()} faults", hint="start the run anew"
        ) from error


def new_token() -> str:
    """For one worker of one run; it opens nothing else."""
    return secrets.token_urlsafe(24)
