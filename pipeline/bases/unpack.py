"""A base's lock -> a folder of its unpacked wheels, without what no job needs, and what a resolver must know of it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from pathlib import Path

from packaging.utils import canonicalize_name

from pipeline.bases.inside import headers
from pipeline.bases.resolve import BaseLock
from pipeline.bases.target import Target
from pipeline.environments import install
from pipeline.files import write_text
from pipeline.package_tool import PackageTool

# tests, headers, static libraries, and programs but the one that torch starts to share memory
UNNEEDED_FOLDERS = re.compile(r".*/tests|bin|torch/(?:include|share|test)|numpy/_core/include")
UNNEEDED_FILES = re.compile(r".*\.a|torch/bin/(?!torch_shm_manager$).*")


def unpack_base(lock: BaseLock, target: Target, folder: Path, tool: PackageTool) -> int:
    """Unpacks the wheels of a lock into `folder`, which is new, and removes what no job needs; the bytes that stay.

    Raises InfrastructureError that says what failed and why.
    """
    lock_file = folder.with_name(f"{folder.name}.lock")
    write_text(lock_file, lock.text)
    install(lock_file, folder, tool, target.options + lock.options)
    for path, folders, names in os.walk(folder):
        inside = os.path.relpath(path, folder)
        for name in [one for one in folders if UNNEEDED_FOLDERS.fullmatch(joined(inside, one))]:
            shutil.rmtree(Path(path, name))
            folders.remove(name)
        for name in names:
            if UNNEEDED_FILES.fullmatch(joined(inside, name)):
                Path(path, name).unlink()
    (folder / ".lock").unlink(missing_ok=True)
    return sum(Path(path, name).lstat().st_size for path, _, names in os.walk(folder) for name in names)


def joined(inside: str, name: str) -> str:
    return name if inside == "." else f"{inside}/{name}"


def described(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Of the packages in a folder: normalised name -> version, and -> what a resolver needs to know."""
    listed = importlib.metadata.distributions(path=[str(folder)])
    found: dict[str, importlib.metadata.Distribution] = {canonicalize_name(one.metadata["Name"]): one for one in listed}
    versions = {name: one.version for name, one in sorted(found.items())}
    return versions, {name: headers(one.read_text("METADATA") or "") for name, one in sorted(found.items())}
