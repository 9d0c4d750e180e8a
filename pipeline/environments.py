"""A lock -> a read-only folder of unpacked wheels, made once for a lock and a base and shared by all runs.

Files are copied, never linked to uv's cache, and their bytecode is compiled here: nothing of them runs.
"""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.backends.images import ENVIRONMENT, Base
from pipeline.bases.target import Target
from pipeline.errors import InfrastructureError
from pipeline.files import write_json
from pipeline.package_tool import Finished, PackageTool
from pipeline.source import remove_folder

SURPRISING = {"runner", "pipeline", "torch", "numpy", "sitecustomize", "usercustomize"}
REQUIREMENT = re.compile(r"`([A-Za-z0-9][A-Za-z0-9._-]*(?:==| @ )?[^\s`]*)`")
PHASES = {
    "unpack": ("unzip", "extract", "unpack", "failed to install", "invalid wheel", "bad zip", "no space", "copy file"),
    "download": ("hash mismatch", "download", "fetch", "request", "connect", "timed out", "no answer"),
}
HINTS = {
    "memory": "give this machine, or its installing process, more memory",
    "disk": "free space in the cache folder, or name another one with PIPELINE_CACHE",
    "hash": "the index serves another file than the one that was locked: ask its operators",
    "network": "try again when the index can be reached",
    "": "look at the build stage's log; the wheel may be damaged on the index",
}


@dataclass(frozen=True)
class Environment:
    """The folder of a lock's wheels (None: the lock is empty), and what is remarkable about them."""

    folder: Path | None
    cached: bool
    size_bytes: int = 0
    notes: tuple[str, ...] = ()


def make_environment(lock_file: Path, lock_sha256: str, base: Base, cache: Path, tool: PackageTool) -> Environment:
    """The environment of a lock: the one that is there, or one that is made now and put there in one step.

    Raises InfrastructureError that names the requirement, the phase, the evidence and one thing to do.
    """
    if not lock_file.read_text(encoding="utf-8").strip():
        return Environment(None, cached=True)
    target = cache / "environments" / f"{lock_sha256}-{base.digest.removeprefix('sha256:')[:16]}"
    cached = target.is_dir()
    if not cached:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
        try:
            fill(partial / "packages", lock_file, base, tool)
            describe(partial)
            put(partial, target)
        finally:
            remove_folder(partial)
    about = json.loads((target / "about.json").read_text(encoding="utf-8"))
    return Environment(target / "packages", cached, about["size_bytes"], tuple(about["notes"]))


def fill(packages: Path, lock_file: Path, base: Base, tool: PackageTool) -> None:
    """Unpacks wheels for the base's Python and platform, and compiles their bytecode with that Python."""
    if not base.image:
        install(lock_file, packages, tool, ("--compile-bytecode",))
        return
    from pipeline.bases.bytecode import compile_packages
    from pipeline.embedded.docker.engine import connect

    install(lock_file, packages, tool, Target(base.python_version, base.platform).options)
    with closing(connect()) as engine:
        compile_packages(engine, base.image, packages, ENVIRONMENT)


def install(lock_file: Path, folder: Path, tool: PackageTool, options: Sequence[str]) -> None:
    """Unpacks the wheels of a lock into `folder`, which is new."""
    command = ["pip", "install", "--target", str(folder), "--requirements", str(lock_file), "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--link-mode", "copy", *options]
    done = tool.run(*command)
    if done.code:
        raise failed(done)


def failed(done: Finished) -> InfrastructureError:
    """A failed install, explained."""
    text = done.complaint.lower()
    evidence, reason = evidence_of(done, text)
    phase = next((phase for phase, signs in PHASES.items() if any(sign in text for sign in signs)), "resolve")
    found = REQUIREMENT.search(done.complaint)
    what = found[1] if found else "the lock's wheels"
    return InfrastructureError(f"installing failed at {what} in phase {phase}: {evidence}", hint=HINTS[reason])


def evidence_of(done: Finished, text: str) -> tuple[str, str]:
    if done.killed:
        return "killed (137), so it met the memory limit", "memory"
    if "no space left" in text or f"os error {errno.ENOSPC}" in text or f"os error {errno.EDQUOT}" in text:
        return "ENOSPC, so the disk is full", "disk"
    said = " ".join(done.lines(4).split()) or f"exit code {done.code}"
    if "hash mismatch" in text:
        return said, "hash"
    network = any(
        sign in text for sign in ("connect", "sending request", "request failed", "timed out", "no answer", "dns")
    )
    return said, "network" if network else ""


def describe(partial: Path) -> None:
    """Writes the environment's size and notes beside it, and makes its files read-only."""
    packages = partial / "packages"
    (packages / ".lock").unlink(missing_ok=True)
    size = 0
    for path, folders, names in os.walk(packages, topdown=False):
        for name in names:
            file = Path(path, name)
            size += file.lstat().st_size
            file.chmod(0o555 if os.access(file, os.X_OK) and file.stat().st_mode & 0o100 else 0o444)
        for name in folders:
            Path(path, name).chmod(0o555)
    write_json(partial / "about.json", {"size_bytes": size, "notes": surprises(packages)})
    partial.chmod(0o755)


def surprises(packages: Path) -> list[str]:
    """What of an environment a reader may want to know: files that Python would run at its start, known names."""
    notes = []
    for entry in sorted(packages.iterdir()):
        if entry.suffix == ".pth":
            notes.append(f"a wheel brings {entry.name}, which is not read here")
        elif entry.name.split(".")[0] in SURPRISING and not entry.name.endswith(".dist-info"):
            notes.append(f"a wheel brings a module {entry.name!r}; the course's own one is found first")
    return notes


def put(partial: Path, target: Path) -> None:
    """Renames into place; where another run was faster, its folder stays and the caller removes `partial`."""
    try:
        partial.rename(target)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
