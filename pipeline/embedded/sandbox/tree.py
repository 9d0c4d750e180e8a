"""The processes of one container, seen from outside. On Linux from /proc, elsewhere by psutil, with less to be had."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.embedded.sandbox import tree_psutil

PROC = Path("/proc")
LINUX = sys.platform == "linux"
MARKER = "RUNNER_CONTAINER"
KB, MB = 1024, 2**20
TICKS = os.sysconf("SC_CLK_TCK")
RESIDENT = re.compile(r"^(?:RssAnon|RssShmem):\s+(\d+) kB", re.MULTILINE)
SHARES = re.compile(r"^(?:Pss_Anon|Pss_Shmem):\s+(\d+) kB", re.MULTILINE)
IO = re.compile(r"^(read|write)_bytes: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Work:
    """What processes did. CPU seconds include those of children that have ended and were waited for; bytes of disk."""

    cpu_s: float = 0.0
    block_read: int = 0
    block_written: int = 0


def descendants(root: int) -> set[int]:
    """`root` and all processes below it; inside a process namespace nothing can leave this tree."""
    if not LINUX:
        return tree_psutil.descendants(root)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        process = waiting.pop()
        if process in found or not (PROC / str(process)).exists():
            continue
        found.add(process)
        with contextlib.suppress(OSError):
            for thread in (PROC / str(process) / "task").iterdir():
                waiting.extend(int(child) for child in (thread / "children").read_text().split())
    return found


def session(leader: int) -> set[int]:
    """Processes of the session that the outermost process leads, or led.

    bubblewrap's first child waits for its parent for ever when that is killed in between; it has left the tree then.
    """
    found: set[int] = set()
    if not LINUX:
        return found
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError):
                state, _, _, number, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(number) == leader and state != "Z":
                    found.add(int(entry.name))
    return found


def marked(container: str) -> set[int]:
    """Processes whose environment names the container: without namespaces a daemon may have left the tree."""
    wanted = f"{MARKER}={container}".encode()
    found: set[int] = set()
    if not LINUX:
        return found
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
    return found


def resident_mb(processes: Iterable[int]) -> float:
    """Anonymous and shared memory; what a fork shares with its parent counts in each, so at most this is used."""
    if not LINUX:
        return tree_psutil.unique_mb(processes)
    return summed(processes, "status", RESIDENT)


def shares_mb(processes: Iterable[int]) -> float:
    """The same with each page divided among those that share it: exact, and slower to ask for."""
    return summed(processes, "smaps_rollup", SHARES) if LINUX else tree_psutil.unique_mb(processes)


def summed(processes: Iterable[int], file: str, lines: re.Pattern[str]) -> float:
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):
            total += sum(int(amount) for amount in lines.findall((PROC / str(process) / file).read_text()))
    return total * KB / MB


def work(processes: Iterable[int]) -> Work:
    """Sums over the processes; one that ends meanwhile counts nothing."""
    if not LINUX:
        return Work(cpu_s=tree_psutil.cpu_s(processes))
    cpu, read, written = 0.0, 0, 0
    for process in processes:
        folder = PROC / str(process)
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            cpu += sum(int(field) for field in fields[11:15]) / TICKS
            amounts = dict(IO.findall((folder / "io").read_text()))
            read, written = read + int(amounts.get("read", 0)), written + int(amounts.get("write", 0))
    return Work(cpu, read, written)


def tmpfs_mb(process: int, room_mb: int) -> float:
    """What lies in /tmp and /dev/shm of the process's own view of files, where these are the sandbox's.

    The sandbox's have `room_mb` each; a process that has not got its view yet still sees the host's.
    """
    used = 0
    for name in ("tmp", "dev/shm"):
        with contextlib.suppress(OSError):
            room = os.statvfs(PROC / str(process) / "root" / name)
            if 0 < room.f_blocks * room.f_frsize <= room_mb * MB:
                used += (room.f_blocks - room.f_bfree) * room.f_frsize
    return used / MB


def kill(processes: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def held(process: int, wait_s: float = 1.0) -> None:
    """Stops a process, so that it makes no further children; returns when it has stopped or ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGSTOP)
    until = time.monotonic() + wait_s
    while LINUX and time.monotonic() < until:
        try:
            state = (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "TtZX":
            return
        time.sleep(0.0005)
