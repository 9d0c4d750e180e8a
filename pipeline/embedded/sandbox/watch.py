"""Samples one container's process tree, keeps its peaks, and says when a limit is met."""

from __future__ import annotations

import time

from pipeline.embedded.contract import Usage
from pipeline.embedded.sandbox.cgroups import Cgroup
from pipeline.embedded.sandbox.tree import Sample, descendants, marked, sample, tmpfs_mb

OURS = 3
"""bubblewrap, its first process inside, and the relay."""
COUNTED_FOR_S = 1.0
"""How long a count of files in tmpfs by way of a process is good."""


class Watch:
    """`root` is the outermost process. Without namespaces processes are also found by their environment."""

    def __init__(self, container: str, root: int, memory_mb: int, processes: int, cgroup: Cgroup | None, apart: bool):
        self.container = container
        self.root = root
        self.memory_mb = memory_mb
        self.processes = processes
        self.cgroup = cgroup
        self.apart = apart
        self.last = Sample(0.0, 0, 0.0, 0, 0)
        self.base = self.last
        self.peak_memory_mb = 0.0
        self.peak_processes = 0
        self.killed_for = ""
        self.tmpfs = (0.0, 0.0)

    def members(self) -> set[int]:
        found = descendants(self.root)
        if not self.apart:
            found |= marked(self.container)
        return found | set(self.cgroup.members() if self.cgroup else ())

    def begin(self) -> None:
        """From here on peaks and differences are the next activation's."""
        self.look()
        self.base = self.last
        self.peak_memory_mb, self.peak_processes = self.last.memory_mb, self.last.processes

    def look(self) -> str:
        """Takes a sample; the limit that is met, or nothing."""
        members = self.members()
        if members:
            self.keep(sample(members), members)
        if self.cgroup is not None and not self.killed_for:
            self.killed_for = self.cgroup.killed_for()
        if not self.killed_for and self.last.memory_mb > self.memory_mb:
            self.killed_for = "memory"
        if not self.killed_for and self.last.processes > self.processes:
            self.killed_for = "processes"
        return self.killed_for

    def keep(self, seen: Sample, members: set[int]) -> None:
        """Memory as the control group counts it, where there is one; CPU never falls when a process ends."""
        exact = self.cgroup.memory_mb() if self.cgroup else None
        cpu = self.cgroup.cpu_s() if self.cgroup else None
        memory = exact if exact is not None else seen.memory_mb + self.in_tmpfs(members)
        self.last = Sample(
            memory,
            max(0, seen.processes - (OURS if self.apart else 0)),
            cpu if cpu is not None else max(self.last.cpu_s, seen.cpu_s),
            max(self.last.block_read, seen.block_read),
            max(self.last.block_written, seen.block_written),
        )
        self.peak_memory_mb = max(self.peak_memory_mb, memory)
        self.peak_processes = max(self.peak_processes, self.last.processes)

    def in_tmpfs(self, members: set[int]) -> float:
        now = time.monotonic()
        if self.apart and now - self.tmpfs[0] > COUNTED_FOR_S:
            self.tmpfs = (now, tmpfs_mb(max(members)))
        return self.tmpfs[1]

    def usage(self, activation: str) -> Usage:
        """Of the activation that began last."""
        return Usage(
            activation=activation,
            container=self.container,
            cpu_s=round(max(0.0, self.last.cpu_s - self.base.cpu_s), 3),
            peak_memory_mb=round(self.peak_memory_mb, 1),
            processes=self.peak_processes,
            block_read=self.last.block_read - self.base.block_read,
            block_written=self.last.block_written - self.base.block_written,
            killed_for=self.killed_for,
        )
