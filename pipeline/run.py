"""The run: one pass of one submission. Its record, and every path of its folder."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import Fault, Outcome, UsageError
from pipeline.files import write_json
from pipeline.kinds import Job
from pipeline.kinds.contract import DataSettings, JobSettings
from pipeline.settings import Assignment, Course, Isolation, Sandbox

STAGE_NAMES = ("fetch", "check", "render", "build", "push", "register", "execute", "collect", "report")
RECORD_VERSION = 1
Part = TypeVar("Part")
SomeJob = TypeVar("SomeJob", bound=JobSettings)
SomeData = TypeVar("SomeData", bound=DataSettings)


class Status(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Recorded(BaseModel):
    """A part of the record: replaced, never changed in place."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StageRecord(Recorded):
    name: str
    status: Status = Status.PENDING
    seconds: float = 0.0
    reason: str = ""


class Request(Recorded):
    """What was asked for on the command line or by Jenkins."""

    source: str
    ref: str | None = None
    student: str = "student"
    course_file: Path | None = None
    assignment: str | None = None
    sandbox: Sandbox = Sandbox.AUTO
    overrides: tuple[tuple[str, str], ...] = ()
    memory_mb: int | None = Field(default=None, description="practice: the memory limit; none: the assignment's")
    attempt: int = 1
    arrived: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Fetched(Recorded):
    """`commit` is None for a folder that is no clean git checkout."""

    commit: str | None
    tree_sha256: str
    files: int
    size_bytes: int


class Checked(Recorded):
    """The job with the submission's settings, and the lock of its wheels."""

    assignment: Assignment
    job: Job
    lock_sha256: str
    locked: tuple[str, ...] = Field(description="name==version of each wheel that the base lacks")
    notes: tuple[str, ...] = ()


class Rendered(Recorded):
    dockerfile_sha256: str
    action_sha256: str


class Image(Recorded):
    """`reference` names what was built: an image, or in the process sandbox a manifest of folders."""

    reference: str
    digest: str
    id: str = Field(default="", description="docker: the engine's image id, which must be what really runs")
    base: str
    base_digest: str
    lock_sha256: str
    size_bytes: int
    cached: bool
    notes: tuple[str, ...] = Field(default=(), description="the build of torch, wheels with surprising modules")


class Registered(Recorded):
    """Names of the run's actions by their task: `train`, `predict`."""

    namespace: str
    actions: dict[str, str]


class Executed(Recorded):
    """What the execute stage leaves to collect: activation ids by worker, predictions, figures of the server."""

    activations: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    predictions: dict[str, str] = Field(default_factory=dict, description="initial, final, checkpoint-N -> store key")
    versions: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


class Record(Recorded):
    """Everything that a later process needs to go on. `record.json`."""

    version: int = RECORD_VERSION
    run: str
    request: Request
    course: Course
    settings_sha256: str
    created: datetime
    isolation: Isolation | None = None
    unenforced: tuple[str, ...] = ()
    stages: tuple[StageRecord, ...] = tuple(StageRecord(name=name) for name in STAGE_NAMES)
    outcome: Outcome | None = None
    reason: str = ""
    hint: str = ""
    faults: tuple[str, ...] = ()
    fetched: Fetched | None = None
    fetch_faults: tuple[Fault, ...] = Field(default=(), description="found by fetch, raised by check with its own")
    checked: Checked | None = None
    rendered: Rendered | None = None
    image: Image | None = None
    registered: Registered | None = None
    executed: Executed | None = None
    collected: bool = False
    points: float | None = None

    def stage(self, name: str) -> StageRecord:
        return self.stages[STAGE_NAMES.index(name)]


class Inside:
    """A path inside the run's folder."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def __get__(self, run: Run, owner: type[Run]) -> Path:
        return run.folder.joinpath(*self.parts)


class Run:
    """A run's folder and its record. Every path inside the folder is named here and nowhere else."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    # what staff and students read
    record_file = Inside("record.json")
    result_file = Inside("result.json")
    junit_file = Inside("junit.xml")
    report_file = Inside("report.html")
    plots = Inside("plots")
    logs = Inside("logs")
    model_file = Inside("model.safetensors")
    output_file = Inside("output.txt")
    source = Inside("source")
    requirements_lock = Inside("check", "requirements.lock")
    dockerfile = Inside("render", "Dockerfile")
    actions_file = Inside("render", "actions.json")
    image_file = Inside("build", "image.json")
    build_log = Inside("build", "build.log")
    # the course's alone: 0700, archived nowhere
    private = Inside("private")
    in_use_file = Inside("private", "lock")
    servers_file = Inside("servers.json")
    servers_folder = Inside("private", "servers")
    elsewhere_file = Inside("private", "elsewhere")
    stored_elsewhere_file = Inside("private", "stored-elsewhere")
    store_keys_file = Inside("private", "store-keys.json")
    hidden_logs = Inside("private", "logs")
    execution_file = Inside("private", "execution.json")
    activations = Inside("private", "activations")
    figures_file = Inside("private", "figures.json")
    predictions = Inside("private", "predictions")
    hidden_output_file = Inside("private", "output.txt")

    def stage_log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def update(self, **changes: Any) -> None:
        """Replaces parts of the record, in memory and on disk."""
        self.record = self.record.model_copy(update=changes)
        self.save()

    def update_stage(self, stage: StageRecord, **changes: Any) -> None:
        """Replaces a stage's record, and with it other parts."""
        at = STAGE_NAMES.index(stage.name)
        self.update(stages=(*self.record.stages[:at], stage, *self.record.stages[at + 1 :]), **changes)

    def reload(self) -> None:
        """Takes the record from disk, as another process may have left it."""
        self.record = Run.open(self.folder).record

    def save(self) -> None:
        write_json(self.record_file, self.record.model_dump(mode="json"))

    @classmethod
    def create(cls, folder: Path, record: Record) -> Run:
        """Makes the folder of a new run; an existing run is never overwritten."""
        if (folder / "record.json").exists():
            raise UsageError(
                f"{folder} holds a run already", hint=f"go on with `pipeline resume {folder}` or name another --out"
            )
        run = cls(folder.resolve(), record)
        run.logs.mkdir(parents=True, exist_ok=True)
        run.private.mkdir(mode=0o700, exist_ok=True)
        run.private.chmod(0o700)
        run.save()
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Opens a run's folder. Raises UsageError where there is none or its record cannot be read."""
        path = folder / "record.json"
        try:
            return cls(folder.resolve(), Record.model_validate_json(path.read_bytes()))
        except FileNotFoundError:
            raise UsageError(
                f"{folder} is no run's folder: it has no record.json",
                hint="name the folder that --out named for the run",
            ) from None
        except OSError as error:
            raise UsageError(
                f"{folder} is no run's folder that can be read: {error.strerror}", hint="let this user read it"
            ) from None
        except ValidationError as error:
            raise UsageError(
                f"{path} is not a record that this version reads: {error.error_count()} faults",
                hint="go on with the version that began the run, or begin another one",
            ) from error


def done(part: Part | None, stage: str) -> Part:
    """A part of the record that an earlier stage wrote. Raises UsageError where it has not."""
    if part is None:
        raise UsageError(f"stage {stage} has not ended well in this run", hint=f"first `pipeline stage {stage}`")
    return part


def job_of(run: Run, kind: type[SomeJob]) -> SomeJob:
    """The job as the check stage left it, which is of that kind."""
    job = done(run.record.checked, "check").job
    assert isinstance(job, kind), f"{run.record.run} is no {kind.__name__}"
    return job


def data_of(run: Run, kind: type[SomeData]) -> SomeData:
    """The assignment's data, which are of that kind."""
    data = done(run.record.checked, "check").assignment.data
    assert isinstance(data, kind), f"{run.record.run} has no {kind.__name__}"
    return data


def new_run_id() -> str:
    """Sortable by time, unique, and fit for file names, image tags and action names."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
