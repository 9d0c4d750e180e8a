"""What an execute stage must remember to go on after a kill, and what a job of calls does. `run.execution_file`."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import InfrastructureError
from pipeline.files import write_json
from pipeline.run import Run


class Remembered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(Remembered):
    """What any execute stage remembers."""

    host_cpu_percent: float | None = None
    notes: tuple[str, ...] = ()


SomeStage = TypeVar("SomeStage", bound=Stage)


class StageMemory(Generic[SomeStage]):
    """That state in memory and on disk; replaced as a whole at each change."""

    def __init__(self, run: Run, kind: type[SomeStage]) -> None:
        self.run = run
        self.state = read(run, kind)

    def update(self, **changes: Any) -> None:
        self.state = self.state.model_copy(update=changes)
        write_json(self.run.execution_file, self.state.model_dump(mode="json"), mode=0o600)

    def note(self, text: str) -> None:
        if text not in self.state.notes:
            self.update(notes=(*self.state.notes, text))


def read(run: Run, kind: type[SomeStage]) -> SomeStage:
    """Empty where nothing is remembered yet. Raises InfrastructureError where the file cannot be read."""
    try:
        return kind.model_validate_json(run.execution_file.read_bytes())
    except FileNotFoundError:
        return kind()
    except ValidationError as error:
        raise InfrastructureError(
            f"{run.execution_file} cannot be read: {error.error_count()} faults", hint="start the run anew"
        ) from error


class CallState(Remembered):
    """One call: all activations that it has had, the last of which counts. `invoked_at` in seconds since the epoch."""

    name: str
    action: str
    activations: tuple[str, ...] = ()
    attempts: tuple[str, ...] = Field(default=(), description="the name of each activation's attempt")
    backups: int = Field(default=0, description="activations that were made beside one that ran, not after it failed")
    invoked_at: float = 0.0
    ended: bool = False
    hidden: bool = Field(default=False, description="its log and its answer are staff's")
    state: str = ""


class Executing(Stage):
    """The whole stage. `seconds` it has taken so far; `kept` is what the kind of job itself remembers, as JSON."""

    calls: dict[str, CallState] = Field(default_factory=dict)
    seconds: float = 0.0
    kept: dict[str, Any] = Field(default_factory=dict)


class Book(StageMemory[Executing]):
    """Of a job of calls."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, Executing)

    def keep(self, **values: Any) -> None:
        """Remembers values of the kind of job's own."""
        self.update(kept=self.state.kept | values)

    def update_call(self, call: CallState) -> None:
        self.update(calls=self.state.calls | {call.name: call})


def load(run: Run) -> Executing:
    return read(run, Executing)
