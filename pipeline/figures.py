"""Figures: what `collect` finds out about a run and `report` grades and draws. `run.figures_file`.

A figure is *measured* (by cgroup, server, store or the coordinator's clock) or *reported* (by the runner, so by the
student's process); checks use measured ones only (docs/design.md, decision 3). Every field may be missing, so that a
run that failed anywhere has a report too. NaN and infinity become None: no figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline.errors import InfrastructureError
from pipeline.files import write_json
from pipeline.run import Run


def finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(finite_or_none)]
Count = Annotated[int | None, Field(ge=0)]
OF_ALL = frozenset({"accuracy", "gain", "seconds", "peak_memory_mb"})
"""Measures that are fields or properties of figures."""
REPORTED_BY_WORKER = ("compute_s", "communication_s", "wait_s")


class Figure(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Score(Figure):
    """Accuracy of the parameters of one version on the validation rows (not the hidden ones)."""

    version: int
    accuracy: Number = None
    label: str = Field(default="", description="initial, final or checkpoint-N")


class LossPoint(Figure):
    """Training loss, as the workers report it, at an update; seconds since the training's start."""

    version: int
    seconds: Number = None
    loss: Number = None


class WorkerFigures(Figure):
    """One worker over all of its activations. Seconds, bytes, MB of 2**20 bytes."""

    worker: int
    name: str = Field(default="", description="of a function that is no worker: `map-3`")
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
    state: str = Field(default="", description="why it did not work, or stopped early, in words: `queued: ...`")
    reported: tuple[str, ...] = Field(default=REPORTED_BY_WORKER, description="fields that only the runner says")

    @property
    def label(self) -> str:
        return self.name or f"worker {self.worker}"


class Interval(Figure):
    """One activation on the clock. `start` and `end` in seconds since the epoch, both of the run of its code;
    `wait_s` in the queue and `init_s` of a cold start lie before `start`."""

    activation: str
    row: str = Field(description="what of the run it was: `worker 0`, `prediction`, `map-3`")
    start: float
    end: float
    init_s: Number = None
    wait_s: Number = None
    status: str = ""


class KeyFigure(Figure):
    """One of the handful that a reader looks for first, as it is shown."""

    label: str
    value: str
    note: str = ""
    source: Literal["measured", "reported"] = "measured"


class Listed(Figure):
    """A table of the report; texts as they are shown, all but the first column set as numbers where `numbers`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    source: Literal["measured", "reported"] = "measured"
    numbers: bool = True


class Picture(Figure):
    """A picture of the report, drawn by the kind of job: `file` lies in `run.plots`. Pixels as it is shown."""

    file: str = Field(pattern=r"^[a-z0-9-]+\.(png|svg)$")
    title: str
    caption: str
    description: str = Field(description="for who cannot see it")
    width: int
    height: int
    source: Literal["measured", "reported"] = "measured"


class Figures(Figure):
    """Everything that is graded or drawn. A kind of job fills in what it has; `measures` holds its own."""

    measures: dict[str, Number] = Field(default_factory=dict, description="of this kind of job; all measured")
    details: dict[str, str] = Field(
        default_factory=dict, description="measure -> what was found, for the student, instead of the bare value"
    )
    hints: dict[str, str] = Field(
        default_factory=dict, description="measure -> what to do, where that is not what its kind always says"
    )
    headline: str = Field(default="", description="the result in a few words, for the summary")
    key_figures: tuple[KeyFigure, ...] = ()
    listed: tuple[Listed, ...] = ()
    pictures: tuple[Picture, ...] = ()

    accuracy: Number = Field(default=None, description="of the final parameters, on the hidden test rows")
    accuracy_initial: Number = None
    rows: Count = Field(default=None, description="hidden test rows that were scored")
    validation: tuple[Score, ...] = ()
    validation_rows: Count = None
    loss: tuple[LossPoint, ...] = ()
    workers: tuple[WorkerFigures, ...] = ()
    intervals: tuple[Interval, ...] = ()
    seconds: Number = Field(default=None, description="of the job, by the coordinator's clock")
    store_s: Number = Field(default=None, description="in which requests of its functions to the store were under way")
    store_requests: Count = None
    store_bytes_sent: Count = Field(default=None, description="by the functions")
    store_bytes_received: Count = Field(default=None, description="by the functions")
    updates: Count = None
    host_cpu_percent: Number = None
    torch: str = Field(default="", description="version and build, `2.13.0+cpu`")
    notes: tuple[str, ...] = ()
    missing: dict[str, str] = Field(
        default_factory=dict,
        description="measure -> why the submission itself left it without a value; a measure that is None and not "
        "named here is missing for a reason that is not the student's",
    )

    def measure(self, name: str) -> float | None:
        """The value of a measure; None where it is not known."""
        if name in self.measures:
            return self.measures[name]
        known: float | None = getattr(self, name) if name in OF_ALL else None
        return known

    @property
    def gain(self) -> float | None:
        """Accuracy learnt here: of the final parameters less that of the initial ones."""
        if self.accuracy is None or self.accuracy_initial is None:
            return None
        return round(self.accuracy - self.accuracy_initial, 9)

    @property
    def peak_memory_mb(self) -> float | None:
        """The largest measured peak of a worker; None when one that ran has no measured peak."""
        ran = [one for one in self.workers if one.activations is None or one.activations > 0]
        peaks = [None if "peak_memory_mb" in one.reported else one.peak_memory_mb for one in ran]
        known = [peak for peak in peaks if peak is not None]
        return max(known) if known and len(known) == len(peaks) else None


def ran(figures: Figures, row: str) -> tuple[Interval, ...]:
    """The activations of one worker or function of the job; those of predictions are the course's and have no row."""
    return tuple(one for one in figures.intervals if one.row == row)


def running_s(intervals: Sequence[Interval]) -> float | None:
    """Seconds that they ran together, cold starts and queue left out; those that overlap add up. None for none."""
    return total([max(0.0, one.end - one.start) for one in intervals])


def total(values: Sequence[float | None]) -> float | None:
    """The sum of the known values; None when none is known, or when it is past what a float holds."""
    known = [value for value in values if value is not None]
    summed: float | None = finite_or_none(float(sum(known))) if known else None
    return summed


def save_figures(run: Run, figures: Figures) -> None:
    write_json(run.figures_file, figures.model_dump(mode="json"))


def load_figures(run: Run) -> Figures | None:
    """The run's figures, None when there are none yet. Raises InfrastructureError when they cannot be read."""
    try:
        return Figures.model_validate_json(run.figures_file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InfrastructureError(
            f"{run.figures_file.name} cannot be read: {error.error_count()} faults",
            hint="collect again: `pipeline resume`",
        ) from error
