"""What containers use: from their control groups, or where these cannot be read, as the engine counts it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine
from pipeline.embedded.docker.groups import group_of
from pipeline.embedded.sandbox.cgroups import ROOT
from pipeline.embedded.sandbox.tree import Work
from pipeline.embedded.sandbox.watch import Bounds, Watch

MB = 2**20
ASK_S = 1.0
OURS = 1
"""docker's init"""
UNSEEN = "memory is measured by the engine once a second (control groups of containers cannot be read here)"


class Measures:
    """Makes watches. `seen`: control groups can be read here."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen = ROOT.is_dir() and "name=rootless" not in (engine.info.get("SecurityOptions") or ())
        self.asking: set[asyncio.Task[None]] = set()

    async def watch(self, container: str, *, memory_mb: int, processes: int) -> Watch:
        """Of a container that has started. Raises ENGINE_ERRORS."""
        bounds = Bounds(memory_mb, processes, OURS)
        group = group_of(container) if self.seen else None
        if self.seen and group is None:
            state = (await self.engine.do(self.engine.api.inspect_container, container))["State"]
            group = group_of(container, int(state["Pid"]))
        if group is not None:
            return Watch(container, 0, bounds, group, apart=True)
        watch = ToldWatch(container, 0, bounds, None, apart=True)
        task = asyncio.get_running_loop().create_task(watch.ask(self.engine))
        self.asking.add(task)
        task.add_done_callback(self.asking.discard)
        return watch

    def close(self) -> None:
        for task in self.asking:
            task.cancel()


class ToldWatch(Watch):
    """Knows what the engine has told last."""

    def look(self, *, closely: bool = False) -> str:  # noqa: ARG002 - nothing is asked here
        self.peak_memory_mb = max(self.peak_memory_mb, self.memory_mb)
        self.peak_processes = max(self.peak_processes, self.processes)
        return self.killed_for

    async def ask(self, engine: Engine) -> None:
        """Until the container is gone."""
        with suppress(*ENGINE_ERRORS):
            while True:
                self.take(await engine.do(engine.api.stats, self.container, stream=False, one_shot=True))
                self.look()
                await asyncio.sleep(ASK_S)

    def take(self, told: dict[str, Any]) -> None:
        """The engine counts threads as processes, and files of the cache as memory where it says nothing closer."""
        memory = told.get("memory_stats") or {}
        parts = memory.get("stats") or {}
        anonymous = parts.get("anon", parts.get("rss", memory.get("usage", 0)))
        self.memory_mb = (anonymous + parts.get("shmem", 0)) / MB
        self.processes = max(0, (told.get("pids_stats") or {}).get("current", 0) - OURS)
        cpu_s = told.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0) / 1e9
        moved = {"read": 0, "write": 0}
        for one in (told.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
            moved[one["op"].lower()] = moved.get(one["op"].lower(), 0) + int(one["value"])
        seen = Work(cpu_s, moved["read"], moved["write"])
        self.work = seen if seen.cpu_s >= self.work.cpu_s else self.work
