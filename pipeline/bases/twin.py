"""A course's base for the process sandbox: the same list of packages, for this machine's Python, in a folder."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.backends.images import Base
from pipeline.bases.bytecode import WITHOUT
from pipeline.bases.resolve import BaseLock, resolve_base
from pipeline.bases.target import Target
from pipeline.bases.unpack import described, unpack_base
from pipeline.environments import put
from pipeline.files import write_text
from pipeline.package_tool import PackageTool
from pipeline.source import remove_folder
from pipeline.torch_builds import note_of


def twin(name: str, packages: tuple[str, ...], cache: Path, tool: PackageTool) -> Base:
    """Resolves and unpacks the packages once; the first lock is kept, so that a base stays what it is.

    Raises CourseError where they cannot be met with wheels, InfrastructureError where they cannot be had.
    """
    here = f"{sys.version}\n{platform.platform(aliased=False, terse=True)}\n"
    wanted = hashlib.sha256(f"{here}{sorted(packages)}".encode()).hexdigest()
    kept = cache / "bases" / "locks" / f"{wanted}.lock"
    if not kept.exists():
        write_text(kept, resolve_base(packages, Target(platform.python_version()), tool).text)
    lock = BaseLock(kept.read_text(encoding="utf-8"))
    digest = hashlib.sha256(f"{here}{lock.text}".encode()).hexdigest()
    folder = cache / "bases" / digest
    if not folder.is_dir():
        lay_out(lock, folder, tool)
    versions, metadata = described(folder / "packages")
    return Base(
        name=name,
        digest=f"sha256:{digest}",
        python_version=platform.python_version(),
        packages=versions,
        metadata=metadata,
        folder=folder / "packages",
        notes=note_of(versions),
    )


def lay_out(lock: BaseLock, folder: Path, tool: PackageTool) -> None:
    """Makes the folder in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        packages = partial / "packages"
        size = unpack_base(lock, Target(platform.python_version()), packages, tool)
        compile_here(packages)
        write_text(partial / "size", str(size))
        partial.chmod(0o755)
        put(partial, folder)
    finally:
        remove_folder(partial)


def compile_here(packages: Path) -> None:
    """Compiles with this Python what has no bytecode: on a read-only folder each start would do so again."""
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", "-x", WITHOUT, str(packages)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
