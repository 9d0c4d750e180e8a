"""What training and prediction read: shards in the run's bucket, inputs in the course's, labels on disk."""

from __future__ import annotations

import io
import secrets
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from pipeline.backends.store import Bucket
from pipeline.data import hidden, mnist, shards
from pipeline.errors import CourseError
from pipeline.files import write_bytes
from pipeline.kinds.train import TrainData, TrainJob
from pipeline.run import Run, data_of, done, job_of
from pipeline.settings import Assignment
from pipeline.training.execution import HIDDEN, VALIDATION, Memory

NORMALISATION = {"mean": "0.1307", "std": "0.3081"}
Bytes = NDArray[np.uint8]


def prepare(run: Run, memory: Memory, run_bucket: Bucket, course_bucket: Bucket) -> None:
    """Uploads the shards and the inputs of the predictions once; a second call finds them there."""
    assignment, job = checked(run)
    data = data_of(run, TrainData)
    files = mnist.fetch(data.folder, run.record.course.cache)
    images, labels = mnist.read_images(files.train_images), mnist.read_labels(files.train_labels)
    if data.train_rows + data.validation_rows > len(images):
        raise CourseError(
            f"assignment {assignment.name} wants {data.train_rows} + {data.validation_rows} rows of {len(images)}",
            hint="lower data.train_rows or data.validation_rows in course.toml",
        )
    put_shards(memory, run_bucket, job, images[: data.train_rows], labels[: data.train_rows])
    kept_out = slice(len(images) - data.validation_rows, len(images))
    tests = mnist.read_images(files.test_images), mnist.read_labels(files.test_labels)
    inputs = {
        HIDDEN: hidden.hidden_test(*tests, secret(run, assignment), data.test_rows),
        VALIDATION: (images[kept_out], labels[kept_out]),
    }
    put_inputs(run, memory, course_bucket, inputs)


def checked(run: Run) -> tuple[Assignment, TrainJob]:
    """Assignment and job as the check stage left them."""
    return done(run.record.checked, "check").assignment, job_of(run, TrainJob)


def put_shards(memory: Memory, bucket: Bucket, job: TrainJob, images: Bytes, labels: Bytes) -> None:
    keys, steps, lengths = [], [], []
    for rows in shards.split_rows(len(images), job.workers):
        content = shards.shard_bytes(images[rows.start : rows.stop], labels[rows.start : rows.stop])
        key = shards.shard_key(content)
        if not bucket.exists(key):
            bucket.put(key, content)
        keys.append(key)
        lengths.append(len(rows))
        batches = ceil(len(rows) / job.batch_size) * job.epochs
        steps.append(min(batches, job.max_steps) if job.max_steps else batches)
    memory.update(shard_keys=tuple(keys), shard_steps=tuple(steps), shard_rows=tuple(lengths))


def put_inputs(run: Run, memory: Memory, bucket: Bucket, inputs: dict[str, tuple[Bytes, Bytes]]) -> None:
    """Labels never enter a store: they lie in the run's private folder."""
    keys = {}
    for name, (images, labels) in inputs.items():
        if not len(images):
            continue
        keys[name] = f"predict/{run.record.run}/inputs-{name}.safetensors"
        if not bucket.exists(keys[name]):
            bucket.put(keys[name], save({"images": np.ascontiguousarray(images)}, NORMALISATION))
        write_bytes(labels_file(run, name), as_npy(labels), mode=0o600)
    memory.update(input_keys=keys)


def labels_file(run: Run, name: str) -> Any:
    return run.private / f"labels-{name}.npy"


def read_labels(run: Run, name: str) -> Bytes:
    labels: Bytes = np.load(labels_file(run, name), allow_pickle=False)
    return labels


def as_npy(array: Bytes) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def secret(run: Run, assignment: Assignment) -> bytes:
    """The assignment's secret; where staff gave none, one made for this run and kept in its private folder."""
    if assignment.secret_file is not None:
        try:
            return assignment.secret_file.read_bytes()
        except OSError as error:
            raise CourseError(f"cannot read the secret {assignment.secret_file}: {error.strerror}") from error
    path = run.private / "secret"
    if not path.exists():
        write_bytes(path, secrets.token_bytes(32), mode=0o600)
    return path.read_bytes()
