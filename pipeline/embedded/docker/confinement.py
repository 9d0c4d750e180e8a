"""What a container of ours is, in the engine's words: who runs in it, what it may have, what is closed to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from pipeline.embedded.contract import ONE_THREAD
from pipeline.embedded.docker import seccomp
from pipeline.embedded.docker.engine import Engine
from pipeline.embedded.docker.images import Found
from pipeline.embedded.docker.seats import Seat, attachment, endpoint
from pipeline.embedded.openwhisk.containers import ContainerSpec

USER = "10001:10001"
MB = 2**20
TMP_MB = 64
"""Of /tmp and of /dev/shm each; what lies there counts as memory."""
THREADS, THREADS_EACH = 64, 2
"""As in the process sandbox: threads of one container, and more for each process that it may have."""
OPEN_FILES = 1024
LARGEST_FILE = 2**30
SHARES = 1024
LEAST_SHARES = 2
LOG_OPTIONS = {"max-size": "1m", "max-file": "1"}
"""For who looks with `docker logs`; activations' logs are read from the streams."""


@dataclass(frozen=True)
class Room:
    """What one container gets: a seat on a network, and its part of the machine."""

    seat: Seat
    processes: int
    pool_mb: int

    @property
    def tasks(self) -> int:
        return THREADS + THREADS_EACH * self.processes


def create(engine: Engine, name: str, spec: ContainerSpec, image: Found, room: Room, labels: dict[str, str]) -> str:
    """Makes the container, not started; the engine's id of it. Raises ENGINE_ERRORS."""
    made = engine.api.create_container(
        image.id,
        name=name,
        user=USER,
        environment={"HOME": "/tmp", **ONE_THREAD, **spec.variables},
        labels=labels,
        stdin_open=False,
        host_config=engine.api.create_host_config(**host_config(engine, spec, image, room)),
        networking_config=None if room.seat.holder else endpoint(engine, room.seat),
    )
    return str(made["Id"])


def host_config(engine: Engine, spec: ContainerSpec, image: Found, room: Room) -> dict[str, Any]:
    """Memory and swap together are `memory_mb`, so there is no swap; CPU shares by memory, as in OpenWhisk."""
    filtered = seccomp.option(engine.machine)
    return {
        "init": True,
        **network(room.seat),
        "read_only": True,
        "tmpfs": {"/tmp": f"rw,noexec,nosuid,nodev,size={TMP_MB}m,mode=1777"},
        "shm_size": TMP_MB * MB,
        "mounts": [in_memory(folder) for folder in image.volumes],
        "mem_limit": spec.memory_mb * MB,
        "memswap_limit": spec.memory_mb * MB,
        "cpu_shares": max(LEAST_SHARES, SHARES * spec.memory_mb // room.pool_mb),
        "pids_limit": room.tasks,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true", *([filtered] if filtered else ())],
        "ulimits": [limit("nofile", OPEN_FILES), limit("core", 0), limit("fsize", LARGEST_FILE)],
        "log_config": LogConfig(type=LogConfig.types.JSON, config=LOG_OPTIONS),
        "restart_policy": {"Name": "no"},
    }


def network(seat: Seat) -> dict[str, Any]:
    """Who joins a holder has its names too."""
    return {"network_mode": f"container:{seat.holder}"} if seat.holder else attachment(seat)


def limit(name: str, value: int) -> Ulimit:
    return Ulimit(name=name, soft=value, hard=value)


def in_memory(folder: str) -> Mount:
    """In the place of a volume that the image asks for, which would be the host's disk without bounds."""
    return Mount(target=folder, source=None, type="tmpfs", tmpfs_size=TMP_MB * MB, tmpfs_mode=0o1777)
