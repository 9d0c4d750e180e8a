"""The processes of one container, seen from outside."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MARKER = "RUNNER_CONTAINER"
KB, MB = 1024, 2**20
TICKS = os.sysconf("SC_CLK_TCK")
ANONYMOUS = re.compile(r"^(?:RssAnon|RssShmem):\s+(\d+) kB", re.MULTILINE)
IO = re.compile(r"^(read|write)_bytes: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """What a process tree uses now. CPU seconds include those of children that have ended and were waited for."""

    memory_mb: float
    processes: int
    cpu_s: float
    block_read: int
    block_written: int


def descendants(root: int) -> set[int]:
    """`root` and all processes below it; inside a process namespace nothing can leave this tree."""
    found, waiting = set(), [root]
    while waiting:
        process = waiting.pop()
        if process in found or not (PROC / str(process)).exists():
            continue
        found.add(process)
        with contextlib.suppress(OSError):
            for thread in (PROC / str(process) / "task").iterdir():
                waiting.extend(int(child) for child in (thread / "children").read_text().split())
    return found


def marked(container: str) -> set[int]:
    """Processes whose environment names the container: without namespaces a daemon may have left the tree."""
    wanted = f"{MARKER}={container}".encode()
    found = set()
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
    return found


def sample(processes: Iterable[int]) -> Sample:
    """Sums over the processes; one that ends meanwhile counts nothing."""
    memory, count, cpu, read, written = 0, 0, 0.0, 0, 0
    for process in processes:
        folder = PROC / str(process)
        try:
            status = (folder / "status").read_text()
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        count += 1
        memory += sum(int(amount) for amount in ANONYMOUS.findall(status)) * KB
        cpu += sum(int(field) for field in fields[11:15]) / TICKS
        with contextlib.suppress(OSError):
            amounts = dict(IO.findall((folder / "io").read_text()))
            read, written = read + int(amounts.get("read", 0)), written + int(amounts.get("write", 0))
    return Sample(memory / MB, count, cpu, read, written)


def tmpfs_mb(process: int) -> float:
    """What lies in /tmp and /dev/shm of the process's own view of files."""
    used = 0
    for name in ("tmp", "dev/shm"):
        with contextlib.suppress(OSError):
            room = os.statvfs(PROC / str(process) / "root" / name)
            used += (room.f_blocks - room.f_bfree) * room.f_frsize
    return used / MB


def kill(processes: Iterable[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
