"""Process trees on systems without /proc (macOS)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil

MB = 2**20


def descendants(root: int) -> set[int]:
    """`root` and all processes below it, as far as these have not left the tree."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(root)
        return {root, *(child.pid for child in process.children(recursive=True))}
    return set()


def unique_mb(processes: Iterable[int]) -> float:
    """Memory that no other process has: mapped files do not count."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(process).memory_full_info().uss
    return total / MB


def cpu_s(processes: Iterable[int]) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(process).cpu_times()
            total += times.user + times.system
    return total
