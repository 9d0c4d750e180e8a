"""What `pipeline doctor` looks at. Each look is one function that raises nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import psutil

from pipeline.embedded.openwhisk.settings import default_pool_mb
from pipeline.settings import Isolation

OLDEST_PYTHON = (3, 11)
DISK_GB, MEMORY_GB = 3.0, 2.0
GIB = 2**30
ENGINE_S = 10


class State(StrEnum):
    OK = "ok"
    MISSING = "missing"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `missing` means that a run could not pass, `note` that it would be less."""

    name: str
    state: State
    detail: str
    todo: str = ""


def findings(*, online: bool) -> list[Finding]:
    found = [
        python(),
        program("git", "git", needed=True),
        uv(),
        torch(),
        isolation(),
        rclone(),
        mnist(),
        *room(),
        docker(),
    ]
    return [*found, index()] if online else found


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("Python", State.MISSING, version, "install Python 3.11 or newer, then `make setup`")
    return Finding("Python", State.OK, f"{version} at {sys.executable}")


def program(name: str, package: str, *, needed: bool) -> Finding:
    path = shutil.which(name)
    if path is None:
        state = State.MISSING if needed else State.NOTE
        return Finding(name, state, "is not on PATH", f"install it (Debian's package: {package})")
    return Finding(name, State.OK, first_line([path, "--version"]) or path)


def beside_python(name: str) -> str | None:
    """A program of the virtual environment, or else one on PATH."""
    own = Path(sys.executable).with_name(name)
    return str(own) if own.exists() else shutil.which(name)


def uv() -> Finding:
    path = beside_python("uv")
    if path is None:
        return Finding("uv", State.MISSING, "is not installed", "`make setup`")
    return Finding("uv", State.OK, first_line([path, "--version"]) or path)


def torch() -> Finding:
    """Which build it is, without importing it: that takes seconds."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Finding("torch", State.MISSING, "is not installed", "`make setup`")
    spec = find_spec("torch")
    text = (Path(spec.origin).parent / "version.py").read_text() if spec and spec.origin else ""
    cuda = re.search(r"^cuda\b[^=\n]*= *'([0-9.]+)'", text, re.MULTILINE)
    if cuda is None:
        return Finding("torch", State.OK, f"{version}, without CUDA: fits actions of 256 MB")
    detail = f"{version}, built for CUDA {cuda[1]}: works on a CPU too, takes more memory"
    return Finding("torch", State.NOTE, detail, "give actions 512 MB, or set up again with the CPU build")


def isolation() -> Finding:
    from pipeline.embedded.sandbox.probe import probe

    found = probe()
    detail = f"student code runs with isolation `{found.isolation.value}`"
    if found.isolation.rank >= Isolation.NAMESPACES.rank:
        return Finding("isolation", State.OK, detail)
    todo = "install bubblewrap" if shutil.which("bwrap") is None else "let this user make user namespaces"
    return Finding("isolation", State.NOTE, f"{detail}; not enforced: {', '.join(found.unenforced)}", todo)


def rclone() -> Finding:
    path = beside_python("rclone")
    if path is None:
        return Finding("rclone", State.MISSING, "the embedded store's server is not installed", "`make setup`")
    return Finding("rclone", State.OK, first_line([path, "version"]) or path)


def mnist() -> Finding:
    from pipeline.data.mnist import FILES
    from pipeline.data.published import default_cache

    folder = default_cache() / "data" / "mnist"
    if all((folder / file.name).is_file() for file in FILES):
        return Finding("MNIST", State.OK, f"in {folder}")
    return Finding("MNIST", State.NOTE, "is not here yet; the first run fetches it", "`pipeline data fetch mnist`")


def room() -> Iterable[Finding]:
    """Disk under the current folder, memory, and the pool that follows from it."""
    free = shutil.disk_usage(Path.cwd()).free / GIB
    detail = f"{free:.1f} GB free here"
    if free >= DISK_GB:
        yield Finding("disk", State.OK, detail)
    else:
        yield Finding("disk", State.NOTE, f"{detail}; a first run takes about {DISK_GB:.0f}", "free some")
    memory = psutil.virtual_memory().total
    pool = default_pool_mb()
    detail = f"{memory / GIB:.1f} GB; the pool of actions has {pool} MB"
    if memory / GIB >= MEMORY_GB:
        yield Finding("memory", State.OK, detail)
    else:
        yield Finding("memory", State.NOTE, detail, "give assignments fewer workers or less memory")


def docker() -> Finding:
    """Whether an engine answers: only `--sandbox docker` and images for a registry need one."""
    import docker as client
    from docker.errors import DockerException

    try:
        engine = client.from_env(timeout=ENGINE_S)
        version = engine.version()
        engine.close()
    except (DockerException, OSError):
        return Finding(
            "docker", State.NOTE, "no engine answers: no `--sandbox docker`", "start one, or let us reach it"
        )
    return Finding("docker", State.OK, f"engine {version.get('Version', '?')} answers")


def index() -> Finding:
    """Asks the index that uv is set to, whichever that is."""
    uv_path = beside_python("uv")
    if uv_path is None:
        return Finding("index", State.NOTE, "cannot be asked without uv", "`make setup`")
    command = [uv_path, "pip", "compile", "--no-cache", "--no-deps", "--quiet", "--no-header", "-"]
    try:
        asked = subprocess.run(command, input="packaging\n", capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Finding("index", State.NOTE, "does not answer", "set UV_INDEX_URL to one that does")
    if asked.returncode:
        return Finding("index", State.NOTE, "does not answer", "set UV_INDEX_URL to one that does")
    return Finding("index", State.OK, "answers")


def first_line(command: list[str]) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.partition("\n")[0].strip()
