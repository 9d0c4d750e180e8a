"""The machine of an experiment: what it is, how busy it is, what a memory limit means for the processors."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import psutil

from pipeline.calling.hostload import HostLoad
from pipeline.embedded.openwhisk.settings import default_pool_mb
from pipeline.experiments.record import Machine
from pipeline.settings import Course, Sandbox

WATCHED_S = 0.5
MB = 2**20
OF_DOCKER = (
    "In docker's containers the memory limit is also a weight for the processors: each gets cpu-shares of "
    "1024 × its limit ÷ the pool's {pool} MB. A weight counts only while functions compete for the processors; "
    "alone, a function may use them all."
)
OF_PROCESSES = (
    "The process sandbox sets no weight and no quota for the processors: a function may use them all, whatever its "
    "memory limit, so a larger limit buys no CPU here. In docker's containers it would be a weight."
)
OF_ELSEWHERE = (
    "The functions ran on an OpenWhisk elsewhere: where that runs containers by docker, the memory limit is a weight "
    "for the processors; on Kubernetes it buys no CPU unless cpu-scaling is configured. Its operator knows."
)


def machine() -> Machine:
    memory_mb = psutil.virtual_memory().total // MB
    return Machine(
        processors=os.cpu_count() or 1,
        processor=processor(),
        memory_mb=memory_mb,
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    )


def processor() -> str:
    """Its name as the system tells it; nothing where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = next((line for line in lines if line.startswith("model name")), "")
    return " ".join(named.partition(":")[2].split())[:120]


def busy_percent() -> float | None:
    """How busy all processors are just now, watched for half a second."""
    with HostLoad() as load:
        time.sleep(WATCHED_S)
    return load.percent


def cpu_effect(course: Course, sandbox: Sandbox) -> str:
    if course.servers.apihost is not None:
        return OF_ELSEWHERE
    if sandbox is Sandbox.DOCKER:
        return OF_DOCKER.format(pool=course.servers.pool_mb or default_pool_mb())
    return OF_PROCESSES
