"""Archives from outside, extracted by an own loop: regular files only, names inside the folder, everything bounded.

Python 3.11's early releases have no extraction filter in tarfile, so nothing here calls `extract`.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from runner.errors import FormatError

MIB = 1 << 20
CHUNK = 256 << 10
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class Bounds:
    """What one archive may hold. `ratio` is extracted bytes by archived bytes, counted above one MiB."""

    total_bytes: int = 256 * MIB
    files: int = 2000
    depth: int = 16
    ratio: int = 200


@dataclass(frozen=True)
class Member:
    name: str
    kind: str  # "file", "folder" or what else it is
    content: IO[bytes] | None


def extract_tar(content: bytes, folder: Path, what: str, bounds: Bounds | None = None) -> None:
    """Extracts a tar, compressed or not, into `folder`. Raises FormatError that names `what` and the member."""
    _extract(_tar_members(content), len(content), folder, what, bounds or Bounds())


def extract_zip(content: bytes, folder: Path, what: str, bounds: Bounds | None = None) -> None:
    """Extracts a zip into `folder`. Raises FormatError that names `what` and the member."""
    _extract(_zip_members(content), len(content), folder, what, bounds or Bounds())


def _tar_members(content: bytes) -> Iterator[Member]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|*") as archive:
        for entry in archive:
            if entry.isreg():
                yield Member(entry.name, "file", archive.extractfile(entry))
            else:
                yield Member(entry.name, "folder" if entry.isdir() else "a link, a device or a pipe", None)


def _zip_members(content: bytes) -> Iterator[Member]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 28
            if entry.is_dir():
                yield Member(entry.filename, "folder", None)
            elif mode not in {0, 0o10}:
                yield Member(entry.filename, "a link, a device or a pipe", None)
            elif entry.flag_bits & 1:
                yield Member(entry.filename, "encrypted", None)
            else:
                with archive.open(entry) as file:
                    yield Member(entry.filename, "file", file)


def _extract(members: Iterator[Member], archived: int, folder: Path, what: str, bounds: Bounds) -> None:
    left = min(bounds.total_bytes, max(MIB, archived * bounds.ratio))
    count = 0
    try:
        for member in members:
            count += 1
            if count > bounds.files:
                raise FormatError(f"{what}: more than {bounds.files} files and folders")
            target = folder / _inside(member.name, what, bounds)
            if member.content is None and member.kind != "folder":
                raise FormatError(f"{what}: {member.name[:200]!r} is {member.kind}; only files are taken")
            if member.content is not None:
                left -= _write(member.content, target, left, what)
    except DAMAGED as error:
        raise FormatError(f"{what}: the archive is damaged: {str(error)[:200]}") from None


def _inside(name: str, what: str, bounds: Bounds) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name.isprintable() or "\\" in name:
        raise FormatError(f"{what}: {name[:200]!r} is no name inside the archive's folder")
    if len(path.parts) > bounds.depth or any(len(part.encode()) > 255 for part in path.parts):
        raise FormatError(f"{what}: {name[:200]!r} is nested too deeply, or too long")
    return path


def _write(source: IO[bytes], target: Path, left: int, what: str) -> int:
    """Copies one file, never over another. Returns its size."""
    size = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while piece := source.read(CHUNK):
                size += len(piece)
                if size > left:
                    raise FormatError(f"{what}: extracts to more bytes than an archive of its size may hold")
                file.write(piece)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise FormatError(f"{what}: the name of {target.name!r} is there twice") from None
    return size
