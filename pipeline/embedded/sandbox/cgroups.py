"""Control groups where this user may make them: a hard stop above the watch's limits, exact counts, a sure kill.

Both versions: of the first each controller has a tree of its own, of the second all share one. Elsewhere (an ordinary
user, a container without them) there is none, and the watch's samples are all there is.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpuacct")
PARENT = "ml-submission-pipeline"
SLACK_MB = 64
"""The kernel counts pages of files too, which it can drop; the watch counts what cannot be dropped."""
SLACK_TASKS = 8
"""bubblewrap, its first process inside, and the relay are not the program's."""
MB = 2**20
PIECE = 64 * 1024
IO_BYTES, BOTH_OF_1 = "blkio.throttle.io_service_bytes", re.compile(r"^\S+ (Read|Write) (\d+)$", re.MULTILINE)
IO_STAT, BOTH_OF_2 = "io.stat", re.compile(r"\b(rbytes|wbytes)=(\d+)")
READ, WRITTEN = ("Read", "rbytes"), ("Write", "wbytes")


@dataclass(frozen=True)
class Cgroup:
    """One container's groups; of version 2 all are one folder. `io` where bytes of disk are counted."""

    memory: Path
    pids: Path
    cpu: Path
    io: Path | None = None

    @property
    def unified(self) -> bool:
        return self.memory == self.pids

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((self.memory, self.pids, self.cpu)))

    @property
    def files(self) -> tuple[Path, ...]:
        """These take the number of the process to put in."""
        return tuple(folder / "cgroup.procs" for folder in self.folders)

    def limit(self, memory_mb: int, tasks: int) -> None:
        """Raises OSError where this cannot be limited."""
        write(self.memory / ("memory.max" if self.unified else "memory.limit_in_bytes"), (memory_mb + SLACK_MB) * MB)
        write(self.pids / "pids.max", tasks + SLACK_TASKS)
        with contextlib.suppress(OSError):
            write(self.memory / ("memory.swap.max" if self.unified else "memory.swappiness"), 0)

    def memory_mb(self) -> float | None:
        """Anonymous memory and tmpfs of all its processes; None when it cannot be read."""
        counts = text_of(self.memory, "memory.stat")
        anonymous = number_in(counts, "anon" if self.unified else "rss")
        return None if anonymous is None else (anonymous + (number_in(counts, "shmem") or 0)) / MB

    def cpu_s(self) -> float | None:
        """Processor seconds of all processes that it ever held."""
        if self.unified:
            used = number_in(text_of(self.cpu, "cpu.stat"), "usage_usec")
            return None if used is None else used / 1e6
        nanoseconds = text_of(self.cpu, "cpuacct.usage").strip()
        return int(nanoseconds) / 1e9 if nanoseconds.isdecimal() else None

    def io_bytes(self) -> tuple[int, int] | None:
        """Bytes read from disk and written to it; None where they are not counted."""
        if self.io is None:
            return None
        file, counts = (IO_STAT, BOTH_OF_2) if self.unified else (IO_BYTES, BOTH_OF_1)
        found = [(name, int(count)) for name, count in counts.findall(text_of(self.io, file))]
        read, written = (sum(count for name, count in found if name in names) for names in (READ, WRITTEN))
        return read, written

    def killed_for(self) -> str:
        """`memory` or `processes` where a limit of the group was met, else nothing."""
        events = "memory.events" if self.unified else "memory.oom_control"
        if number_in(text_of(self.memory, events), "oom_kill"):
            return "memory"
        return "processes" if number_in(text_of(self.pids, "pids.events"), "max") else ""

    def members(self) -> list[int]:
        return [int(line) for line in text_of(self.pids, "cgroup.procs").split()]

    def kill(self) -> None:
        """All members in one step, where the kernel offers that."""
        if self.unified:
            with contextlib.suppress(OSError):
                write(self.pids / "cgroup.kill", 1)

    def remove(self) -> bool:
        """Removes the groups; False while a process is in one."""
        done = True
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                done = False
        return done


def parents() -> tuple[Path, Path, Path] | None:
    """The folders of memory, pids and CPU below which groups are made; None where this machine has none to offer."""
    if all((ROOT / controller / "cgroup.procs").exists() for controller in CONTROLLERS):
        memory, pids, cpu = (ROOT / controller / PARENT for controller in CONTROLLERS)
        return memory, pids, cpu
    with contextlib.suppress(OSError):
        if {"memory", "pids"} <= set((ROOT / "cgroup.controllers").read_text().split()):
            return (ROOT / PARENT,) * 3
    return None


def make_cgroup(name: str, memory_mb: int, tasks: int) -> Cgroup | None:
    """The groups of a new container with their limits; None where this machine or user cannot have them."""
    found = parents()
    if os.geteuid() != 0 or found is None:
        return None
    # a supervisor removes what others left only when they have ended, so the name says whose it is
    cgroup = Cgroup(*(parent / f"{os.getpid()}-{name}" for parent in found))
    try:
        for folder in cgroup.folders:
            folder.parent.mkdir(exist_ok=True)
            if cgroup.unified:
                hand_on_controllers(folder.parent)
            folder.mkdir()
        cgroup.limit(memory_mb, tasks)
    except OSError:
        cgroup.remove()
        return None
    return cgroup


def hand_on_controllers(parent: Path) -> None:
    for folder in (ROOT, parent):
        (folder / "cgroup.subtree_control").write_text("+memory +pids")


@cache
def can_make_groups() -> bool:
    """By making one."""
    cgroup = make_cgroup("probe", 64, 16)
    return cgroup is not None and cgroup.remove()


def leftovers() -> list[Cgroup]:
    """Groups of supervisors that have ended."""
    found = parents() if sys.platform == "linux" else None
    if found is None:
        return []
    names = {entry.name for parent in found if parent.is_dir() for entry in parent.iterdir() if entry.is_dir()}
    dead = [name for name in names if not Path("/proc", name.partition("-")[0]).exists()]
    return [Cgroup(*(parent / name for parent in found)) for name in dead]


def write(path: Path, value: int) -> None:
    path.write_text(str(value))


def number_in(text: str, name: str) -> int | None:
    """The number in the line `name number`; None where there is no such line."""
    _, found, rest = f"\n{text}".partition(f"\n{name} ")
    try:
        return int(rest.partition("\n")[0]) if found else None
    except ValueError:
        return None


def text_of(folder: Path, file: str) -> str:
    """What a file says, nothing where it cannot be read; by the shortest way, as each activation takes several."""
    try:
        descriptor = os.open(f"{folder}/{file}", os.O_RDONLY)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(descriptor, PIECE):
            parts.append(part)
        return b"".join(parts).decode()
    except OSError:
        return ""
    finally:
        os.close(descriptor)
