"""Control groups, version 1, where this user may make them: a hard stop above the watch's limits, and exact counts.

Elsewhere (version 2, an ordinary user) there is none, and the watch's samples are all there is.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpuacct")
PARENT = "ml-submission-pipeline"
SLACK_MB = 64
"""The kernel counts pages of files too, which it can drop; the watch counts what cannot be dropped."""
SLACK_PROCESSES = 8
"""bubblewrap, its first process inside, and the relay with its threads are not the program's."""
MB = 2**20


@dataclass(frozen=True)
class Cgroup:
    """One container's groups. `files` take the number of the process to put in."""

    name: str

    def folder(self, controller: str) -> Path:
        return ROOT / controller / PARENT / self.name

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.folder(controller) / "cgroup.procs" for controller in CONTROLLERS)

    def memory_mb(self) -> float | None:
        """Anonymous memory and tmpfs of all its processes; None when it cannot be read."""
        values = read_pairs(self.folder("memory") / "memory.stat")
        if "rss" not in values:
            return None
        return (values["rss"] + values.get("shmem", 0)) / MB

    def cpu_s(self) -> float | None:
        """Processor seconds of all processes that it ever held."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.folder("cpuacct") / "cpuacct.usage").read_text()) / 1e9
        return None

    def killed_for(self) -> str:
        """`memory` or `processes` where a limit of the group was met, else nothing."""
        if read_pairs(self.folder("memory") / "memory.oom_control").get("oom_kill", 0) > 0:
            return "memory"
        return "processes" if read_pairs(self.folder("pids") / "pids.events").get("max", 0) > 0 else ""

    def members(self) -> list[int]:
        with contextlib.suppress(OSError, ValueError):
            return [int(line) for line in (self.folder("pids") / "cgroup.procs").read_text().split()]
        return []

    def remove(self) -> bool:
        """Removes the groups; False while a process is in one."""
        done = True
        for controller in CONTROLLERS:
            try:
                self.folder(controller).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                done = False
        return done


def make_cgroup(name: str, memory_mb: int, processes: int) -> Cgroup | None:
    """The groups of a new container with their limits; None where this machine or user cannot have them."""
    if os.geteuid() != 0 or not (ROOT / "memory" / "memory.stat").exists():
        return None
    cgroup = Cgroup(name)
    try:
        for controller in CONTROLLERS:
            cgroup.folder(controller).mkdir(parents=True, exist_ok=True)
        write(cgroup.folder("memory") / "memory.limit_in_bytes", (memory_mb + SLACK_MB) * MB)
        write(cgroup.folder("pids") / "pids.max", processes + SLACK_PROCESSES)
    except OSError:
        cgroup.remove()
        return None
    return cgroup


def write(path: Path, value: int) -> None:
    path.write_text(str(value))


def read_pairs(path: Path) -> dict[str, int]:
    """`name number` lines; empty when the file cannot be read."""
    try:
        lines = path.read_text().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}
    except (OSError, ValueError):
        return {}
