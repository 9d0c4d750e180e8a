"""What an execute stage must remember to go on after a kill, and what a job of calls does. `run.execution_file`."""

from __future__ import annotations

import time
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
    stopped: tuple[str, ...] = Field(default=(), description="activations that were lost with a stop of the run")

    @property
    def every_activation(self) -> tuple[str, ...]:
        return (*self.stopped, *self.activations)

    def ended_by(self, activation: str) -> CallState:
        """The end of the call; the activation that counts becomes the last one."""
        counts = self.activations.index(activation)
        names = ("",) * (len(self.activations) - len(self.attempts)) + self.attempts
        order = [*(one for one in range(len(self.activations)) if one != counts), counts]
        changes = {
            "activations": tuple(self.activations[one] for one in order),
            "attempts": tuple(names[one] for one in order),
        }
        return self.model_copy(update=changes | {"ended": True, "state": ""})

    def as_stopped(self) -> CallState:
        """To be invoked as if it never had been: what was lost with a stop is no attempt of the submission's."""
        changes = {"activations": (), "attempts": (), "backups": 0, "state": "", "stopped": self.every_activation}
        return self.model_copy(update=changes)


class Pause(Remembered):
    """Between these times, in seconds since the epoch, nothing was done that counts: nobody worked, or it was lost."""

    begun: float
    ended: float


class Executing(Stage):
    """The whole stage. At the time `seen` it had taken `seconds`, `lost_s` of them in vain; something that counts last
    ended at `counted`, when it had taken `counted_s`.

    Times in seconds since the epoch, 0 before anything. `kept` is what the kind of job itself remembers, as JSON.
    """

    calls: dict[str, CallState] = Field(default_factory=dict)
    seconds: float = 0.0
    lost_s: float = 0.0
    seen: float = 0.0
    counted: float = 0.0
    counted_s: float = 0.0
    pauses: tuple[Pause, ...] = ()
    kept: dict[str, Any] = Field(default_factory=dict)

    def working_s(self, begun: float, ended: float) -> float:
        """Seconds from one time to the other, pauses left out."""
        paused = (min(ended, one.ended) - max(begun, one.begun) for one in self.pauses)
        return ended - begun - sum(max(0.0, each) for each in paused)


class Book(StageMemory[Executing]):
    """Of a job of calls."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, Executing)

    def keep(self, **values: Any) -> None:
        """Remembers values of the kind of job's own."""
        self.update(kept=self.state.kept | values)

    def update_call(self, call: CallState, seconds: float) -> None:
        """After `seconds` of the stage."""
        self.worked(seconds, counts=call.ended, calls=self.state.calls | {call.name: call})

    def worked(self, seconds: float, *, counts: bool = False, **changes: Any) -> None:
        """The stage has taken `seconds` until now, when something has ended that `counts` whatever comes."""
        now = time.time()
        counted = {"counted": now, "counted_s": seconds} if counts else {}
        self.update(seconds=seconds, seen=now, **counted, **changes)

    def goes_on(self) -> None:
        """What follows is work. Where there was some before, a pause ends; it began with what was lost."""
        now, state = time.time(), self.state
        pause = (Pause(begun=state.counted, ended=max(now, state.counted)),) if state.seen else ()
        lost_s = state.lost_s + max(0.0, state.seconds - state.counted_s)
        changes = {"seen": now, "counted": now, "counted_s": state.seconds}
        self.update(pauses=(*state.pauses, *pause), lost_s=lost_s, **changes)
        if state.seen:
            self.note(f"the run was stopped, and went on {now - state.seen:.0f} s later: what was lost counts nowhere")


def load(run: Run) -> Executing:
    return read(run, Executing)
