"""`result.json`: what a program reads of a run. Its JSON schema is docs/result.schema.json, in words docs/result.md.

A figure that is not known is null. `metrics` and each worker say which of their fields were measured from outside and
which only the runner, and so the student's process, reported.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.errors import Outcome
from pipeline.figures import finite_or_none
from pipeline.run import Status
from pipeline.settings import Isolation, Sandbox

Number = Annotated[float | None, BeforeValidator(finite_or_none)]
Count = int | None


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Submission(Part):
    """`commit` is null for a folder that is no clean git checkout, `tree_sha256` before anything was fetched."""

    student: str
    source: str
    commit: str | None = None
    tree_sha256: str | None = None


class CheckResult(Part):
    """`passed` and `points` are null where nothing could be graded for a reason that is not the student's."""

    name: str
    passed: bool | None
    points: Number
    max_points: float
    detail: str


class Sourced(Part):
    """Figures of which each known one is named in `measured` or in `reported`."""

    measured: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()


class Metrics(Sourced):
    """Seconds, bytes, MB of 2**20 bytes; accuracies from 0 to 1; sums over workers, but the largest peak of memory."""

    accuracy: Number = None
    accuracy_initial: Number = None
    gain: Number = None
    test_rows: Count = None
    seconds: Number = None
    updates: Count = None
    steps: Count = None
    compute_s: Number = None
    communication_s: Number = None
    wait_s: Number = None
    cpu_s: Number = None
    bytes_sent: Count = None
    bytes_received: Count = None
    peak_memory_mb: Number = None
    functions_s: Number = Field(default=None, description="that all activations of the job's functions ran, together")
    cold_start_s: Number = Field(default=None, description="of all their cold starts, together")
    queued_s: Number = Field(default=None, description="that they waited in OpenWhisk's queue, together")
    store_s: Number = Field(default=None, description="in which their requests to the store were under way, together")
    store_requests: Count = None
    store_bytes_sent: Count = None
    store_bytes_received: Count = None
    gb_seconds: Number = Field(default=None, description="memory limit in GB of 1024 MB, times run and cold start")
    measures: dict[str, Number] = Field(default_factory=dict, description="of this kind of job; all measured")
    late_days: int = Field(default=0, description="started days after the deadline")


class WorkerResult(Sourced):
    """A worker of a training, or one function of another kind of job, which has a name."""

    worker: int
    name: str = ""
    activations: Count = None
    steps: Count = None
    compute_s: Number = None
    communication_s: Number = None
    wait_s: Number = None
    cpu_s: Number = None
    bytes_sent: Count = None
    bytes_received: Count = None
    block_read: Count = None
    block_written: Count = None
    peak_memory_mb: Number = None
    processes: Count = None
    running_s: Number = None
    cold_start_s: Number = None
    queued_s: Number = None


class StageResult(Part):
    name: str
    status: Status
    seconds: float
    reason: str


class Host(Part):
    cpu_percent: Number = None


class ImageResult(Part):
    reference: str
    digest: str
    base_digest: str
    lock_sha256: str
    size_bytes: int
    cached: bool


class Result(Part):
    schema_version: Literal[1] = 1
    run: str
    course: str
    assignment: str | None = Field(description="null where the course has several and none was named")
    attempt: int
    practice: bool = Field(description="practice is not a grade and uses up no attempt")
    arrived: datetime
    seed: int | None
    submission: Submission
    outcome: Outcome
    points: Number = Field(description="after what a late arrival costs; null where nothing could be graded")
    max_points: Number
    headline: str = Field(default="", description="the result in a few words, where its kind of job has such")
    checks: tuple[CheckResult, ...]
    metrics: Metrics
    stages: tuple[StageResult, ...]
    workers: tuple[WorkerResult, ...]
    host: Host
    image: ImageResult | None
    memory_mb: Count = Field(default=None, description="the memory limit of each function, as the assignment sets it")
    settings_sha256: str
    sandbox: Sandbox
    isolation: Isolation | None
    unenforced: tuple[str, ...]


def schema_text() -> str:
    """The JSON schema as docs/result.schema.json holds it."""
    schema: dict[str, Any] = Result.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "result.json of a run"}
    return json.dumps({**schema, **head}, indent=2, sort_keys=True) + "\n"
