"""`experiment.json`: all of an experiment, its runs and what they come to. In words docs/result.md.

It is what programs read, and what a call with the same folder goes on with.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import Outcome, UsageError
from pipeline.experiments.grid import Value
from pipeline.files import write_text
from pipeline.result import Count, Number
from pipeline.settings import Isolation, Sandbox

FILE = "experiment.json"


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RunFigures(Part):
    """Figures of one run, taken from its `result.json`. Seconds, bytes, MB of 2**20 bytes, percent."""

    seconds: Number = Field(default=None, description="to complete the job")
    functions: Count = Field(default=None, description="workers or functions of the job")
    functions_s: Number = Field(default=None, description="that they ran, together")
    cold_start_s: Number = None
    queued_s: Number = None
    execution_s: Number = Field(default=None, description="of all functions together")
    communication_s: Number = Field(default=None, description="of all functions together")
    waiting_s: Number = Field(default=None, description="for each other, where it is known apart")
    split_source: str = Field(default="", description="measured or reported, or nothing where there is no such split")
    communication_percent: Number = None
    requests: Count = Field(default=None, description="to the store")
    bytes_sent: Count = Field(default=None, description="by the functions, to store and parameter server")
    bytes_received: Count = None
    peak_memory_mb: Number = Field(default=None, description="of the largest function")
    usual_memory_mb: Number = Field(default=None, description="median of the functions' peaks")
    memory_limit_mb: Count = None
    cpu_s: Number = Field(default=None, description="of all functions together")
    cpu_percent: Number = Field(default=None, description="of one processor, that a function used while it ran")
    block_read: Count = Field(default=None, description="from disk, by all functions")
    block_written: Count = None
    processes: Count = Field(default=None, description="of the function that had most")
    host_cpu_percent: Number = Field(default=None, description="of all processors, while the job ran")
    gb_seconds: Number = None
    accuracy: Number = None
    measures: dict[str, Number] = Field(default_factory=dict, description="of this kind of job")


class Load(Part):
    """How busy the whole machine was just before a run and just after it, in percent of all processors."""

    before_percent: Number = None
    after_percent: Number = None


class MeasuredRun(Part):
    """One run of the plan. `measured` went to its end and has figures; `failed` is a result too, with its reason."""

    number: int
    repeat: int
    setting: dict[str, Value]
    folder: str = Field(description="below `runs`")
    status: Literal["planned", "measured", "failed"] = "planned"
    outcome: Outcome | None = None
    failed_for: str = Field(default="", description="memory, time, processes, infrastructure, settings or error")
    reason: str = ""
    first_try: str = Field(default="", description="why it was run a second time: what failed for the machine's part")
    run: str = ""
    points: Number = None
    max_points: Number = None
    began: datetime | None = None
    wall_s: Number = Field(default=None, description="of the whole run, from fetch to report")
    load: Load = Load()
    figures: RunFigures = RunFigures()


class Spread(Part):
    """A figure over the runs of one point."""

    runs: int
    median: float
    least: float
    most: float
    lower_quartile: float
    upper_quartile: float


class Point(Part):
    """What the runs of one setting come to. `compared` ones alone are in `figures`."""

    setting: dict[str, Value]
    planned: int
    measured: int
    passed: int
    compared: int = Field(description="runs that are compared: those that passed, where any of the experiment did")
    failed_for: tuple[str, ...] = ()
    figures: dict[str, Spread] = Field(default_factory=dict)
    speed_up: Spread | None = Field(default=None, description="against the least value of the axis, all else equal")
    efficiency: float | None = Field(default=None, description="speed-up by how many times more functions run at once")


class Answer(Part):
    question: str
    answer: str


class Machine(Part):
    processors: int
    processor: str = ""
    memory_mb: int
    system: str = ""


class Experiment(Part):
    schema_version: Literal[1] = 1
    created: datetime
    source: str
    ref: str | None = None
    commit: str | None = None
    tree_sha256: str
    kind: str
    assignment: str
    title: str = ""
    sandbox: Sandbox
    isolation: Isolation | None = None
    unenforced: tuple[str, ...] = ()
    cpu_effect: str = Field(default="", description="what the memory limit does to a function's part of the processors")
    machine: Machine
    order_seed: int
    repeat: int
    parallel: tuple[str, ...] = Field(default=(), description="keys that decide how many functions run at once")
    runs: tuple[MeasuredRun, ...]
    axis: str = Field(default="", description="the key that plots have on their axis")
    points: tuple[Point, ...] = ()
    fastest: dict[str, Value] | None = None
    cheapest: dict[str, Value] | None = None
    answers: tuple[Answer, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.runs[0].setting) if self.runs else ()

    def values(self, key: str) -> tuple[Value, ...]:
        """Every value of a key that was asked for: numbers by size, words as they came."""
        found = list(dict.fromkeys(one.setting[key] for one in self.runs))
        numbers = [one for one in found if not isinstance(one, str)]
        return tuple(sorted(numbers)) if len(numbers) == len(found) else tuple(found)

    @property
    def varied(self) -> tuple[str, ...]:
        return tuple(key for key in self.keys if len({one.setting[key] for one in self.runs}) > 1)

    @property
    def fixed(self) -> dict[str, Value]:
        return {key: self.runs[0].setting[key] for key in self.keys if key not in self.varied}

    @property
    def left(self) -> tuple[MeasuredRun, ...]:
        return tuple(one for one in self.runs if one.status == "planned")


def save(folder: Path, experiment: Experiment) -> None:
    """Keys of a setting stay in the order in which they were asked for."""
    write_text(folder / FILE, experiment.model_dump_json(indent=2) + "\n")


def load(folder: Path) -> Experiment | None:
    """The experiment of a folder; None where it has none. Raises UsageError where it cannot be read."""
    path = folder / FILE
    try:
        return Experiment.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="name another --out") from None
    except ValidationError as error:
        raise UsageError(
            f"{path} is not an experiment that this version reads: {error.error_count()} faults",
            hint="name another --out",
        ) from error


def schema_text() -> str:
    """The JSON schema as docs/experiment.schema.json holds it."""
    schema: dict[str, Any] = Experiment.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "experiment.json"}
    return json.dumps({**schema, **head}, indent=2, sort_keys=True) + "\n"
