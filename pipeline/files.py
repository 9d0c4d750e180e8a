"""Files that are whole or not there: write, fsync, rename."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipeline.errors import InfrastructureError
from pipeline.faults import point

NEARLY_FULL_BYTES = 16 * 2**20
FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota of disk space is used up"}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replaces `path` with `content` in one step that survives a kill and a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            sync(file.fileno(), path.name)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):  # the system names no file where a write fails
            error.filename = str(path)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    write_bytes(path, text.encode(), mode=mode)


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Writes JSON with sorted keys and without NaN, so that the same value gives the same bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", mode=mode)


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync(descriptor, f"{folder.name}/")
    finally:
        os.close(descriptor)


def sync(descriptor: int, name: str, *, content_only: bool = False) -> None:
    """Makes what was written to `name` durable. The one place of ours that does, so that a test can die before it."""
    point(f"fsync {name}")
    (os.fdatasync if content_only and hasattr(os, "fdatasync") else os.fsync)(descriptor)


def machine_fault(error: OSError) -> InfrastructureError:
    """What the system refused, in words for a person: a full disk, a folder that cannot be written to."""
    where = f": {error.filename}" if error.filename else ""
    if error.errno in FULL:
        # of a copy the second name says where it was going, and only there can a disk be full
        where = f": {error.filename2}" if error.filename2 else where
        return InfrastructureError(f"{FULL[error.errno]}{where}", hint="make room there, then `pipeline resume`")
    if error.errno in REFUSED:
        return InfrastructureError(
            f"{error.strerror}{where}", hint="let this user read and write there, or name another folder"
        )
    if error.errno in NO_FOLDER:
        return InfrastructureError(
            f"{error.strerror}{where}", hint="a file stands where a folder is needed: name another"
        )
    return InfrastructureError(f"the system refused something: {error.strerror or error}{where}", hint="tell the staff")


def is_of_the_machine(error: OSError) -> bool:
    """Whether a person can mend it by making room, or with other rights or names; any other may be a fault of ours."""
    return error.errno in {*FULL, *REFUSED, *NO_FOLDER}


def nearly_full(folder: Path) -> bool:
    """Whether so little space is left that whatever failed beside may have failed for that."""
    return shutil.disk_usage(folder).free < NEARLY_FULL_BYTES
