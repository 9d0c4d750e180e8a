"""A build's context: a tar of ours, the same bytes for the same files, so that the engine's cache and digests hold."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

EPOCH = 315_619_200
"""1980-01-02: what zip files, and so wheels made of them, can still say."""
FILE, PROGRAM, FOLDER = 0o444, 0o555, 0o555


def write_context(target: IO[bytes], dockerfile: str, folders: Mapping[str, Path]) -> None:
    """Writes a context with a Dockerfile and these folders, by the name that they have in it.

    Regular files and folders only, of root's, read-only, with one time: no other property of a file gets in.
    """
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        content = dockerfile.encode()
        archive.addfile(entry("Dockerfile", len(content)), io.BytesIO(content))
        for name, folder in sorted(folders.items()):
            add_folder(archive, name, folder)
    target.seek(0)


def add_folder(archive: tarfile.TarFile, name: str, folder: Path) -> None:
    archive.addfile(entry(name, kind=tarfile.DIRTYPE))
    with os.scandir(folder) as scan:
        listed = sorted(scan, key=lambda one: one.name)
    for one in listed:
        if one.is_dir(follow_symlinks=False):
            add_folder(archive, f"{name}/{one.name}", Path(one.path))
        elif one.is_file(follow_symlinks=False):
            with Path(one.path).open("rb") as file:
                status = os.fstat(file.fileno())
                archive.addfile(entry(f"{name}/{one.name}", status.st_size, status.st_mode), file)


def entry(name: str, size: int = 0, mode: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.mtime, made.type = size, EPOCH, kind
    made.mode = FOLDER if kind == tarfile.DIRTYPE else PROGRAM if mode & 0o100 else FILE
    return made
