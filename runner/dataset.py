"""Rows to train on or to predict: shards of arrays, and the course's older archives of a package `dataset_dl`."""

from __future__ import annotations

import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runner import arrays, storage
from runner.archives import extract_tar
from runner.errors import FormatError, StudentError
from runner.student import load_file, student_code

if TYPE_CHECKING:
    import torch

GZIP = b"\x1f\x8b"
MAX_ROWS = 1 << 20
MAX_OLDER_BYTES = 128 << 20
CHANGE = (
    "put the rows into the archive as arrays and read them from beside __init__.py, "
    "or use a shard made by `pipeline data split`"
)


@dataclass(frozen=True)
class Dataset:
    """Images as uint8 [rows, 28, 28], normalised batch by batch, or float32 [rows, channels, ...] as they are."""

    images: NDArray[Any]
    labels: NDArray[np.int64]
    mean: float = 0.0
    std: float = 1.0

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: NDArray[np.int64] | slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Images float32 [n, 1, 28, 28] and labels int64 [n], copies."""
        import torch

        return torch.from_numpy(self.inputs(rows)), torch.from_numpy(np.array(self.labels[rows]))

    def inputs(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        chosen = self.images[rows]
        if chosen.dtype != np.uint8:
            return np.array(chosen, dtype=np.float32)
        scaled = chosen[:, np.newaxis].astype(np.float32)
        scaled *= np.float32(1 / (255 * self.std))
        scaled -= np.float32(self.mean / self.std)
        return scaled


def fetch(url: str) -> Dataset:
    """Fetches a shard, or the older form. Raises TransferError, FormatError or StudentError."""
    content = storage.get(url, "data set")
    return from_archive(content) if content.startswith(GZIP) else from_arrays(content)


def fetch_inputs(url: str) -> Dataset:
    """Fetches rows without labels. Raises TransferError or FormatError."""
    return from_arrays(storage.get(url, "inputs"), "inputs", labelled=False)


def from_arrays(content: bytes, what: str = "data set", *, labelled: bool = True) -> Dataset:
    """Reads `images` uint8 [rows, 28, 28], `labels` uint8 [rows], and `mean` and `std` of pixels in 0 to 1."""
    found, metadata = arrays.decode(content, what)
    images, labels = found.get("images"), found.get("labels")
    if images is None or images.dtype != np.uint8 or images.ndim != 3 or not 0 < len(images) <= MAX_ROWS:
        raise FormatError(f"{what}: it has no array images, uint8 [rows, height, width]")
    if not labelled:
        labels = np.zeros(len(images), np.uint8)
    if labels is None or labels.dtype != np.uint8 or labels.shape != (len(images),):
        raise FormatError(f"{what}: it has no array labels, uint8, one for each of {len(images)} images")
    mean, std = _number(metadata, "mean", 0.0, what), _number(metadata, "std", 1.0, what)
    if std <= 0:
        raise FormatError(f"{what}: std must be more than 0, not {std:g}")
    return Dataset(images, labels.astype(np.int64), mean, std)


def _number(metadata: Mapping[str, str], name: str, default: float, what: str) -> float:
    try:
        value = float(metadata.get(name, default))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{what}: {name} in its metadata is no number")
    return value


def from_archive(content: bytes) -> Dataset:
    """Reads the older form: a tar.gz with a package `dataset_dl` whose `Dataset` is an instance of a torch data set.

    Every row is read once, here: what the data set draws at random is drawn once. Raises FormatError or StudentError.
    """
    with tempfile.TemporaryDirectory(prefix="dataset-") as name:
        folder = Path(name).resolve()
        extract_tar(content, folder, "data set")
        entry = folder / "dataset_dl" / "__init__.py"
        if not entry.is_file():
            raise FormatError("data set: the archive has no package dataset_dl (dataset_dl/__init__.py)")
        with _offline(folder):
            return _rows(load_file(entry))


@contextmanager
def _offline(folder: Path) -> Iterator[None]:
    """Runs the archive's code in its folder; downloads and a missing torchvision become errors with what to change."""
    before, path = Path.cwd(), list(sys.path)
    attempts: list[str] = []
    _watch_network(attempts)
    os.chdir(folder)
    sys.path.append(str(folder))
    try:
        yield
    except (StudentError, FormatError) as error:
        if attempts:
            raise StudentError(f"data set: dataset_dl tried to download ({attempts[0]}); {CHANGE}") from None
        if re.search(r"No module named 'torchvision['.]", str(error)):
            raise StudentError(
                f"data set: dataset_dl imports torchvision, which is not in the image; {CHANGE}"
            ) from None
        raise
    finally:
        _watch_network(None)
        os.chdir(before)
        sys.path[:] = path
        for module in [one for one in sys.modules if one.partition(".")[0] == "dataset_dl"]:
            del sys.modules[module]


_watched: list[list[str]] = []


def _watch_network(attempts: list[str] | None) -> None:
    """While `attempts` is given, network use raises and is noted there."""
    if not _hooked:
        sys.addaudithook(_refuse_network)
        _hooked.append(True)
    _watched[:] = [] if attempts is None else [attempts]


_hooked: list[bool] = []


def _refuse_network(event: str, details: tuple[Any, ...]) -> None:
    if _watched and event in {"urllib.Request", "socket.getaddrinfo", "socket.connect"}:
        _watched[0].append(str(details[0] if event != "socket.connect" else details[1])[:200])
        raise ConnectionRefusedError("a data set is read without a network")


def _rows(module: Any) -> Dataset:
    source = getattr(module, "Dataset", None)
    if source is None or isinstance(source, type) or not hasattr(source, "__getitem__"):
        raise FormatError("data set: dataset_dl must expose `Dataset`, an instance of a torch data set (not a class)")
    with student_code("dataset_dl", Path(module.__file__).parent):
        count = len(source)
        if not 0 < count <= MAX_ROWS:
            raise FormatError(f"data set: Dataset has {count} rows; 1 to {MAX_ROWS} are read")
        first = np.asarray(source[0][0])
        if count * first.size * 4 > MAX_OLDER_BYTES:
            raise FormatError(f"data set: {count} rows of {first.size} numbers are more than {MAX_OLDER_BYTES} bytes")
        images = np.empty((count, *first.shape), np.float32)
        labels = np.empty(count, np.int64)
        for row in range(count):
            image, label = source[row]
            images[row] = np.asarray(image)
            labels[row] = int(label)
    return Dataset(images, labels)
