"""The kind `train`: workers and a parameter server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.kinds.contract import MEMORY, DataSettings, JobSettings, Measure, Traits


class TrainJob(JobSettings):
    """Training by a parameter server. What of it a submission may set, the assignment's `opens` says."""

    kind: Literal["train"] = "train"
    entry: str = Field(default="model.py", pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.py$")
    workers: int = Field(default=2, ge=1, le=64)
    epochs: int = Field(default=2, ge=1, le=1000)
    max_steps: int = Field(default=0, ge=0, description="batches a shard, 0 for no bound but the epochs")
    batch_size: int = Field(default=64, ge=1, le=4096)
    update_interval: int = Field(default=1, ge=1, le=1024, description="batches averaged for one gradient")
    gradients_per_update: int = Field(default=0, ge=0, le=1024, description="0: one of each live worker")
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(default=0.03, gt=0, le=10)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    mode: Literal["sync", "async", "bounded-staleness"] = "sync"
    staleness: int = Field(default=4, ge=0, le=1000, description="updates that a gradient may be late")
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=1, ge=1, le=64, description="threads of torch in one worker")
    checkpoint_updates: int = Field(default=100, ge=1, description="updates between two checkpoints")
    scored_checkpoints: int = Field(default=4, ge=0, le=32, description="checkpoints scored on the validation rows")

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
        return f"{workers} ({self.mode}), {epochs}, batches of {self.batch_size}, {optimiser}, {self.device}"


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
