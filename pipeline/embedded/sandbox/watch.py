"""Samples one container's process tree, keeps its peaks, and says when a limit is met."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline.embedded.contract import Usage
from pipeline.embedded.sandbox.cgroups import Cgroup
from pipeline.embedded.sandbox.launch import TMP_SHARE
from pipeline.embedded.sandbox.tree import Work, descendants, marked, resident_mb, shares_mb, tmpfs_mb, work

RARELY_S = 1.0
"""Between two looks at what is dear to ask for and no limit depends on."""


@dataclass(frozen=True)
class Bounds:
    """What a container may have at a time. `ours` of its processes are the sandbox's own."""

    memory_mb: int
    processes: int
    ours: int = 0


class Watch:
    """`root` is the outermost process. Not `apart`, processes are also found by their environment."""

    def __init__(self, container: str, root: int, bounds: Bounds, cgroup: Cgroup | None, *, apart: bool) -> None:
        self.container = container
        self.root = root
        self.bounds = bounds
        self.cgroup = cgroup
        self.apart = apart
        self.memory_mb = 0.0
        self.processes = 0
        self.work = self.base = Work()
        self.peak_memory_mb = 0.0
        self.peak_processes = 0
        self.killed_for = ""
        self.rarely = 0.0
        self.strays: set[int] = set()
        self.exact_at, self.exact_mb, self.exact_of = 0.0, 0.0, 0.0

    def members(self, *, all_of_them: bool = True) -> set[int]:
        """Strays, which have left the tree of a container without namespaces, are looked for where asked."""
        if not self.apart and all_of_them:
            self.strays = marked(self.container)
        if self.cgroup is not None and (found := self.cgroup.members()):
            return set(found)
        return descendants(self.root) | self.strays

    def begin(self) -> None:
        """From here on peaks and differences are the next activation's."""
        self.look(closely=True)
        self.base = self.work
        self.peak_memory_mb, self.peak_processes = self.memory_mb, self.processes

    def look(self, *, closely: bool = False) -> str:
        """Takes a sample; the limit that is met, or nothing. `closely`: with work that no limit depends on."""
        now = time.monotonic()
        closely = closely or now - self.rarely > RARELY_S
        members = self.members(all_of_them=closely)
        if members:
            self.memory_mb = self.memory_of(members, now)
            self.processes = max(0, len(members) - self.bounds.ours)
        self.peak_memory_mb = max(self.peak_memory_mb, self.memory_mb)
        self.peak_processes = max(self.peak_processes, self.processes)
        if closely:
            self.rarely = now
            self.add_work(members)
        self.killed_for = self.killed_for or self.met()
        return self.killed_for

    def look_at_limits(self) -> str:
        """The same as far as the control group counts it, which is quick: what was met since the last look."""
        if not self.killed_for and self.cgroup is not None:
            self.killed_for = self.cgroup.killed_for()
        return self.killed_for

    def met(self) -> str:
        if self.cgroup is not None and (found := self.cgroup.killed_for()):
            return found
        if self.processes > self.bounds.processes:  # first, since many need much memory too
            return "processes"
        return "memory" if self.memory_mb > self.bounds.memory_mb else ""

    def memory_of(self, members: set[int], now: float) -> float:
        """As the control group counts it, else a sum; shares are asked for where the sum is a peak or too much."""
        counted = self.cgroup.memory_mb() if self.cgroup else None
        if counted is not None:
            return counted
        files = tmpfs_mb(max(members), self.bounds.memory_mb // TMP_SHARE) if self.apart else 0.0
        at_most = resident_mb(members)
        if at_most + files <= self.peak_memory_mb:
            return at_most + files
        grown = at_most > self.exact_of and at_most + files > self.bounds.memory_mb
        if grown or now - self.exact_at > RARELY_S:
            self.exact_at, self.exact_of, self.exact_mb = now, at_most, shares_mb(members)
        return min(at_most, self.exact_mb + max(0.0, at_most - self.exact_of)) + files

    def add_work(self, members: set[int]) -> None:
        """Never less than before: a process that has ended takes its count along, unless the group counted it."""
        cpu = self.cgroup.cpu_s() if self.cgroup else None
        moved = self.cgroup.io_bytes() if self.cgroup else None
        seen = work(members) if cpu is None or moved is None else Work(cpu, *moved)
        self.work = Work(
            cpu if cpu is not None else max(self.work.cpu_s, seen.cpu_s),
            max(self.work.block_read, seen.block_read),
            max(self.work.block_written, seen.block_written),
        )

    def usage(self, activation: str) -> Usage:
        """Of the activation that began last.

        Whoever was killed for memory had as much as there was, whether a sample was taken just then or not.
        """
        had_mb = self.bounds.memory_mb if self.killed_for == "memory" else 0.0
        return Usage(
            activation=activation,
            container=self.container,
            cpu_s=round(max(0.0, self.work.cpu_s - self.base.cpu_s), 3),
            peak_memory_mb=round(max(self.peak_memory_mb, had_mb), 1),
            processes=self.peak_processes,
            block_read=self.work.block_read - self.base.block_read,
            block_written=self.work.block_written - self.base.block_written,
            killed_for=self.killed_for,
        )
