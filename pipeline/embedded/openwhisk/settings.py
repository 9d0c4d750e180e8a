"""What can be set of the embedded OpenWhisk. The defaults are those of the standalone server."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil

MB = 1024 * 1024
LARGEST_DEFAULT_POOL_MB = 4096


def default_pool_mb() -> int:
    """The lesser of 4096 MB and half of this machine's memory."""
    return min(LARGEST_DEFAULT_POOL_MB, psutil.virtual_memory().total // 2 // MB)


@dataclass(frozen=True)
class Keep:
    """How much of the past is kept: what exceeds any of these goes, the oldest first, a whole file at a time."""

    records: int = 20_000
    bytes: int = 2 * 2**30
    days: float = 30.0
    files: int = 10
    """into how many files, at least, the most that is kept is divided"""


@dataclass(frozen=True)
class Settings:
    """Memory and logs in MB, durations in seconds unless the name says otherwise, sizes in bytes."""

    pool_mb: int = field(default_factory=default_pool_mb)
    containers: int | None = None
    """how many there may be at once; none: as many as the pool's memory has room for"""
    prewarmed: int = 0
    prewarmed_mb: int = 256
    invocations_per_minute: int = 100_000
    concurrent_invocations: int = 30
    memory_mb: tuple[int, int, int] = (128, 256, 512)
    """least, default, largest; so the next three"""
    timeout_ms: tuple[int, int, int] = (100, 60_000, 300_000)
    logs_mb: tuple[int, int, int] = (0, 10, 10)
    concurrency: tuple[int, int, int] = (1, 1, 1)
    payload_bytes: int = MB
    parameters_bytes: int = MB
    result_bytes: int = MB
    code_bytes: int = 48 * MB
    json_depth: int = 200
    blocking_s: float = 60.0
    pause_s: float = 10.0
    """a container that was idle so long is paused"""
    idle_s: float = 600.0
    keep: Keep = field(default_factory=Keep)
    logs_wait_s: float = 10.0
    """how long a container that is known to end its logs with the sentinel is given to do so"""
    first_logs_wait_s: float = 5.0
    """the same for one that has not been seen to do so"""
    apihost: str = ""
    """what containers get as __OW_API_HOST; empty: this server's own address"""
