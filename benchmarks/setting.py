"""What all contenders share: data, batch, threads, seed, optimiser; and what each of them measures of itself."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from runner import dataset
from runner.batches import Batches
from runner.flat_model import FlatModel
from runner.model import load_student_model

MODEL_BYTES = 4 * 61_706
POLL_S = 0.005


@dataclass(frozen=True)
class Setting:
    """One benchmark's setting. `accumulate` batches make one gradient; `every` updates the parameters are kept."""

    folder: str
    ranks: int
    batch: int
    epochs: int
    accumulate: int
    seed: int
    learning_rate: float
    momentum: float
    every: int

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def shard(self, rank: int) -> Path:
        return self.path / f"shard-{rank}-of-{self.ranks}.safetensors"

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def start_rank() -> tuple[Setting, int]:
    """The setting and the rank in a rank's arguments."""
    torch.set_num_threads(1)
    return Setting(**json.loads(sys.argv[1])), int(sys.argv[2])


def load_rank(setting: Setting, rank: int) -> tuple[dataset.Dataset, nn.Module, Batches]:
    """The same rows, initial values and order of batches as a worker of ours has."""
    rows = dataset.from_arrays(setting.shard(rank).read_bytes())
    model = load_student_model().build(setting.seed)
    return rows, model, Batches(len(rows), setting.batch, setting.epochs, 0, setting.seed, rank)


def wait_for_go(setting: Setting, rank: int) -> None:
    """Says that this rank is ready; returns when all are."""
    (setting.path / f"ready-{rank}").touch()
    while not (setting.path / "go").exists():
        time.sleep(POLL_S)


@dataclass
class Recorder:
    """Parameters every so many updates, with the time; scored when the clock has stopped. Times are monotonic."""

    setting: Setting
    times: list[float] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)
    updates: int = 0

    def updated(self, model: nn.Module) -> None:
        self.updates += 1
        if self.updates % self.setting.every == 0:
            self.keep(model)

    def keep(self, model: nn.Module) -> None:
        flat = torch.cat([one.detach().reshape(-1) for one in model.parameters()])
        self.times.append(time.monotonic())
        self.values.append(flat.numpy())

    def save(self, path: Path) -> None:
        np.savez(path, times=np.array(self.times), values=np.stack(self.values))


@dataclass
class Measured:
    """Of one process, between the clock's start and end. Seconds, MB of 2**20 bytes."""

    started: float = field(default_factory=time.monotonic)
    cpu_before: float = field(default_factory=time.process_time)
    ended: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    communication_s: float = 0.0
    samples: int = 0
    updates: int = 0
    bytes_exchanged: int = 0

    def end(self) -> None:
        self.ended = time.monotonic()
        self.cpu_s = time.process_time() - self.cpu_before
        self.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def save(self, setting: Setting, name: str) -> None:
        (setting.path / f"{name}.json").write_text(json.dumps(asdict(self)))


def load_measured(setting: Setting, name: str) -> Measured:
    return Measured(**json.loads((setting.path / f"{name}.json").read_text()))


class Scorer:
    """Accuracy on the test rows of parameters as one flat vector."""

    def __init__(self, test_file: Path) -> None:
        torch.set_num_threads(1)  # more wait for each other where cores are shared
        self.rows = dataset.from_arrays(test_file.read_bytes())
        self.student = load_student_model()
        self.flat = FlatModel(self.student.build(0), torch.device("cpu"))
        self.flat.model.eval()

    def accuracy(self, values: NDArray[np.float32]) -> float:
        self.flat.parameters.copy_(torch.from_numpy(values))
        right = 0
        with torch.no_grad():
            for at in range(0, len(self.rows), 1000):
                images, labels = self.rows.batch(slice(at, at + 1000))
                right += int((self.flat.model(images).argmax(1) == labels).sum())
        return right / len(self.rows)

    def first_at(self, goal: float, values: NDArray[np.float32], times: NDArray[Any]) -> tuple[float | None, float]:
        """The first time at which the accuracy is `goal`, and the last accuracy."""
        reached = next((float(at) for one, at in zip(values, times, strict=True) if self.accuracy(one) >= goal), None)
        return reached, self.accuracy(values[-1])
