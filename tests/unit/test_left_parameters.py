"""What of a training without a server comes home: bounded arrays of one form, and words that nobody believes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from pipeline.backends.store import Bucket
from pipeline.errors import LimitError, SubmissionError
from pipeline.kinds.train import TrainJob
from pipeline.training import left_parameters
from pipeline.training.through_store import Told, mean_losses, rounds_of
from runner.batches import Batches

GOOD = {"weight": np.ones((2, 3), np.float32), "steps": np.array(3, np.int64)}
FORM = left_parameters.form_of(GOOD)


class Kept:
    """A bucket in memory."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects

    name = "run"

    def get(self, key: str, *, at_most: int) -> bytes:
        if len(self.objects[key]) > at_most:
            raise LimitError("too large")
        return self.objects[key]

    def exists(self, key: str) -> bool:
        return key in self.objects

    def put(self, key: str, content: bytes | Path, *, content_type: str = "") -> None: ...
    def keys(self, prefix: str = "") -> list[str]:
        return [key for key in self.objects if key.startswith(prefix)]

    def delete(self, key: str) -> None: ...
    def url(self, key: str, **_: object) -> str:
        return key


def take(content: bytes) -> left_parameters.Arrays:
    bucket: Bucket = Kept(final=content)
    return left_parameters.take(bucket, "final", "final parameters", FORM)


def test_arrays_of_the_form_come_home() -> None:
    assert left_parameters.form_of(take(save(GOOD))) == FORM


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not in the form"),
        (b"\x80\x04cos\nsystem\n", "not in the form"),
        (save({"weight": np.ones((2, 3), np.float32)}), "not the arrays that the training began with"),
        (save(GOOD | {"weight": np.ones((3, 2), np.float32)}), "not the arrays that the training began with"),
        (save(GOOD | {"weight": np.full((2, 3), np.nan, np.float32)}), "NaN or infinite"),
        (save(GOOD | {"weight": np.ones((2, 3), np.float64)}), "float64"),
        (save({}), "0 arrays"),
    ],
)
def test_all_else_is_the_submission_s_fault(content: bytes, said: str) -> None:
    with pytest.raises(SubmissionError, match=said):
        take(content)


def test_what_is_too_large_or_not_there_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError):
        left_parameters.take(Kept(), "final", "final parameters", FORM)
    monkeypatch.setattr(left_parameters, "MOST_BYTES", 10)
    monkeypatch.setattr(left_parameters, "HEADER_BYTES", 10)
    with pytest.raises(LimitError, match="more than 0 MB"):
        take(save(GOOD))


@pytest.mark.parametrize(("rows", "interval", "max_steps"), [(100, 1, 0), (101, 3, 0), (101, 3, 17), (5, 4, 0)])
def test_course_and_workers_count_the_same_rounds(rows: int, interval: int, max_steps: int) -> None:
    job = TrainJob(batch_size=8, epochs=3, update_interval=interval, max_steps=max_steps)
    assert rounds_of(rows, job) == Batches(rows, 8, 3, max_steps, 0, 0).rounds(interval)


def test_the_loss_of_a_round_is_the_mean_of_those_who_tell_it() -> None:
    told = [Told(points=((1, 0.5, 2.0), (2, 0.9, 1.0))), Told(points=((1, 0.6, 4.0),)), Told()]
    assert mean_losses(told) == ((1, 0.6, 3.0), (2, 0.9, 1.0))
