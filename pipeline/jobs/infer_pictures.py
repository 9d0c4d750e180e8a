"""The pictures of an inference: ten that are shown, and hidden ones, each asked for once, under keys nobody guesses.

Labels never enter a store. A function gets the signed URL of one picture at a time; the forwarder passes on these
objects and no list of them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from pipeline.backends import Backends
from pipeline.backends.functions import Action
from pipeline.backends.servers import ForwarderRequest
from pipeline.backends.store import Bucket
from pipeline.calling.remembered import Book
from pipeline.data import hidden, mnist
from pipeline.data.digits import DIGITS, one_of_each
from pipeline.data.mnist import Bytes
from pipeline.data.png import grey_png
from pipeline.embedded.contract import Service
from pipeline.errors import CourseError
from pipeline.files import write_bytes
from pipeline.jobs.function import lasting
from pipeline.kinds.infer import InferData, InferJob
from pipeline.run import Run, data_of, done, job_of
from pipeline.training.material import as_npy, labels_file, read_labels, secret

NAME = "infer"
STORE_PORT = 9000
SHOWN = DIGITS
"""One of each digit, of the training rows: what a student sees answers and logs of."""
PUTS_AT_ONCE = 8
REQUESTS_A_PICTURE, BYTES_A_PICTURE = 16, 64 * 2**10


@dataclass(frozen=True)
class Pictures:
    """All of a run's, the shown ones first. `urls` are signed for the address at which containers see the store."""

    pixels: Bytes
    labels: Bytes
    urls: tuple[str, ...] = ()

    def url(self, number: int) -> dict[str, str]:
        """The parameters of the call for one picture."""
        return {"url": self.urls[number]}


def pictures_of(run: Run) -> Pictures:
    """Shown and hidden ones, the same each time. Raises CourseError where the data set has too few rows."""
    job, data = job_of(run, InferJob), data_of(run, InferData)
    files = mnist.fetch(data.folder, run.record.course.cache)
    wanted = hidden_count(job, data)
    tests = mnist.read_images(files.test_images), mnist.read_labels(files.test_labels)
    if wanted > len(tests[1]):
        raise CourseError(
            f"data.images and the bursts ask for {wanted} hidden pictures of {len(tests[1])}",
            hint="lower data.images or job.burst in course.toml",
        )
    own = secret(run, done(run.record.checked, "check").assignment)
    images, labels = hidden.hidden_test(*tests, own, wanted)
    digits = np.arange(DIGITS, dtype=np.uint8)
    return Pictures(np.concatenate([one_of_each(files), images]), np.concatenate([digits, labels]))


def hidden_count(job: InferJob, data: InferData) -> int:
    return data.images + job.burst * len(job.bursts)


def prepare(run: Run, backends: Backends, book: Book, action: Action) -> Pictures:
    """Puts the pictures into the course's bucket, opens the way to them, and signs their URLs. Harmless twice."""
    pictures = pictures_of(run)
    keys = keys_of(run, book, len(pictures.labels))
    write_bytes(labels_file(run, "hidden"), as_npy(pictures.labels[SHOWN:]), mode=0o600)
    bucket = backends.servers.course_bucket()
    put_missing(bucket, keys, pictures.pixels)
    address = open_way(run, backends, action, bucket, keys)
    valid = timedelta(seconds=lasting(run))
    urls = tuple(bucket.url(key, valid_for=valid, address=address) for key in keys)
    return Pictures(pictures.pixels, pictures.labels, urls)


def keys_of(run: Run, book: Book, count: int) -> list[str]:
    """One a picture, remembered before anything lies there."""
    if len(book.state.kept.get("keys", ())) != count:
        book.keep(keys=[f"predict/{run.record.run}/{secrets.token_hex(16)}.png" for _ in range(count)])
    keys: list[str] = book.state.kept["keys"]
    return keys


def put_missing(bucket: Bucket, keys: Sequence[str], pixels: Bytes) -> None:
    there = set(bucket.keys(f"{keys[0].rpartition('/')[0]}/"))
    missing = [(key, picture) for key, picture in zip(keys, pixels, strict=True) if key not in there]
    with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
        puts = [pool.submit(bucket.put, key, grey_png(one), content_type="image/png") for key, one in missing]
    for put in puts:
        put.result()


def open_way(run: Run, backends: Backends, action: Action, bucket: Bucket, keys: Sequence[str]) -> str:
    """The forwarder that passes on exactly these objects; the address that containers use."""
    calls = len(keys) * REQUESTS_A_PICTURE
    request = ForwarderRequest(
        NAME,
        "course",
        tuple(("GET", f"/{bucket.name}/{key}") for key in keys),
        True,
        requests=calls,
        bytes_total=calls * BYTES_A_PICTURE,
        bytes_sent=0,
        expires=time.time() + lasting(run),
    )
    service = Service(name="store", socket=backends.servers.open_forwarder(request), port=STORE_PORT)
    return backends.servers.set_reach(action.name, [service])["store"]


def hidden_labels(run: Run) -> Bytes:
    """Labels of the hidden pictures, in the order in which they are asked for."""
    return read_labels(run, "hidden")
