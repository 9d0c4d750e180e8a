"""Training rows cut into files, one for each worker: safetensors, or the course's older `dataset_dl` archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import pipeline.data
from pipeline.data.mnist import Bytes, MnistFiles, read_images, read_labels
from pipeline.data.shards import shard_bytes, split_rows
from pipeline.errors import CourseError
from pipeline.files import write_bytes

PACKAGE = "dataset_dl"
GZIP_LEVEL = 6
"""9, the default, takes fifteen times as long for two per cent."""


def split(files: MnistFiles, out: Path, *, shards: int, rows: int | None = None, tar: bool = False) -> Sequence[Path]:
    """Cuts the first `rows` training rows (none: all) into `shards` files in `out`; their paths in order.

    `shard_N.safetensors`, or with `tar` `dataset_dl_N.tar.gz`, N from 0. A file holds its own rows and nothing else.
    Raises CourseError where there are fewer rows than asked for.
    """
    images, labels = read_images(files.train_images), read_labels(files.train_labels)
    rows = len(images) if rows is None else rows
    if rows > len(images):
        raise CourseError(f"{rows} rows are asked for, {len(images)} are there", hint=f"ask for up to {len(images)}")
    paths = []
    for number, part in enumerate(split_rows(rows, shards)):
        own = slice(part.start, part.stop)
        make, name = (
            (archive_bytes, f"{PACKAGE}_{number}.tar.gz") if tar else (shard_bytes, f"shard_{number}.safetensors")
        )
        write_bytes(out / name, make(images[own], labels[own]))
        paths.append(out / name)
    return paths


def archive_bytes(images: Bytes, labels: Bytes) -> bytes:
    """A tar.gz with the package `dataset_dl`, whose `Dataset` is an instance of these rows. Same rows, same bytes."""
    source = Path(pipeline.data.__file__).parent / PACKAGE / "__init__.py"
    buffer = io.BytesIO()
    # the name and time that gzip and tar write would make each archive another one
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=GZIP_LEVEL, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        add(archive, "__init__.py", source.read_bytes())
        add(archive, "images.npy", as_npy(images))
        add(archive, "labels.npy", as_npy(labels))
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"{PACKAGE}/{name}")
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))


def as_npy(array: Bytes) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
