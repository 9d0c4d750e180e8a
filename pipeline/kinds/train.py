"""The kind `train`: workers, and a parameter server or the store through which they average."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.kinds.contract import MEMORY, DataSettings, JobSettings, Measure, Traits, combination


class TrainJob(JobSettings):
    """Training by several workers. What of it a submission may set, the assignment's `opens` says."""

    kind: Literal["train"] = "train"
    entry: str = Field(default="model.py", pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.py$")
    workers: int = Field(default=2, ge=1, le=64)
    aggregation: Literal["parameter-server", "allreduce", "scatterreduce"] = "parameter-server"
    algorithm: Literal["gradient-averaging", "model-averaging", "easgd"] = "gradient-averaging"
    epochs: int = Field(default=2, ge=1, le=1000)
    max_steps: int = Field(default=0, ge=0, description="batches a shard, 0 for no bound but the epochs")
    batch_size: int = Field(default=64, ge=1, le=4096)
    update_interval: int = Field(default=1, ge=1, le=1024, description="batches for one gradient, or local steps")
    gradients_per_update: int = Field(default=0, ge=0, le=1024, description="0: one of each live worker")
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(default=0.03, gt=0, le=10)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    moving_rate: float = Field(default=0.9, gt=0, le=1, description="EASGD's beta: alpha is a worker's share of it")
    mode: Literal["sync", "async", "bounded-staleness"] = "sync"
    staleness: int = Field(default=4, ge=0, le=1000, description="updates that a gradient may be late")
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=1, ge=1, le=64, description="threads of torch in one worker")
    checkpoint_updates: int = Field(default=100, ge=1, description="updates between two checkpoints")
    scored_checkpoints: int = Field(default=4, ge=0, le=32, description="checkpoints scored on the validation rows")
    stored_mb: int = Field(default=1024, ge=1, le=10_000, description="of the run's bucket, without a server")

    @model_validator(mode="after")
    def _settings_that_go_together(self) -> Self:
        if self.through_store and self.mode != "sync":
            what = f"aggregation {self.aggregation} has no server that could take parts one by one, as mode {self.mode}"
            raise combination("mode", what, 'mode = "sync", or aggregation = "parameter-server"')
        if self.through_store and self.gradients_per_update:
            what = f"aggregation {self.aggregation} averages one part of each worker"
            raise combination("gradients_per_update", what, "leave it out; update_interval says how large a part is")
        if self.algorithm == "model-averaging" and not self.through_store:
            what = "models are averaged through the store, not by the parameter server"
            raise combination("algorithm", what, 'aggregation = "allreduce" or "scatterreduce"')
        if self.algorithm == "easgd" and not self.through_store and (self.mode != "async" or self.gradients_per_update):
            what = "easgd by the parameter server is asynchronous, one worker at a time"
            hint = 'mode = "async" without gradients_per_update; or synchronous: aggregation = "allreduce"'
            raise combination("algorithm", what, hint)
        if self.algorithm != "gradient-averaging" and self.optimiser != "sgd":
            what = f"{self.algorithm} takes local steps of SGD, not of {self.optimiser}"
            raise combination("optimiser", what, 'optimiser = "sgd"')
        return self

    @property
    def through_store(self) -> bool:
        """Whether workers average among themselves, without a parameter server."""
        return self.aggregation != "parameter-server"

    @property
    def force(self) -> float:
        """EASGD's alpha, by which centre and worker draw each other (1412.6651: beta = workers * alpha)."""
        return self.moving_rate / self.workers

    @property
    def file(self) -> str:
        return self.entry

    @property
    def at_once(self) -> int:
        return self.workers

    def in_words(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        name = {"sgd": "SGD", "adam": "Adam"}[self.optimiser]
        momentum = f", momentum {self.momentum:g}" if self.optimiser == "sgd" else ""
        optimiser = f"{name}, rate {self.learning_rate:g}{momentum}"
        how = self.aggregation if self.through_store else self.mode
        algorithm = "" if self.algorithm == "gradient-averaging" else f", {self.algorithm}"
        return f"{workers} ({how}{algorithm}), {epochs}, batches of {self.batch_size}, {optimiser}, {self.device}"


class TrainData(DataSettings):
    """The rows of a data set and who sees them."""

    kind: Literal["train"] = "train"
    name: Literal["mnist"] = "mnist"
    folder: Path | None = Field(default=None, description="IDX files that are here already")
    train_rows: int = Field(default=55_000, ge=1, le=60_000)
    validation_rows: int = Field(default=5_000, ge=0, le=60_000)
    test_rows: int = Field(default=10_000, ge=1, le=10_000)

    @model_validator(mode="after")
    def _rows_that_are_there(self) -> Self:
        if self.train_rows + self.validation_rows > 60_000:
            raise ValueError("train_rows and validation_rows share 60000 rows, and these ask for more")
        return self


TRAIN = Traits(
    TrainJob,
    TrainData,
    tasks=("train", "predict"),
    defines=("build_model",),
    measures={
        "accuracy": Measure("accuracy", next_step="train longer, change the model or its learning rate"),
        "gain": Measure("gain", next_step="let it be learnt here: the initial values must not know the answers yet"),
        "seconds": Measure("training time", " s", 1, "do less work an update, or fewer epochs"),
        MEMORY: Measure("peak memory", " MB", 0, "use a smaller batch or model"),
    },
)
