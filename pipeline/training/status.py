"""What the parameter server says of itself to the coordinator."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ShardStatus(Said):
    """One shard. Bytes are measured by the server; loss and the time split are reported by the worker.

    `complete`: its last gradient has come, which may wait for those of others; `finished`: it was used.
    """

    shard: int
    registered: bool = False
    complete: bool = False
    finished: bool = False
    steps: int = 0
    samples: int = 0
    loss: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    compute_s: float = 0.0
    communication_s: float = 0.0
    wait_s: float = 0.0


class ServerStatus(Said):
    """`losses` are (version, seconds since the start, mean training loss)."""

    version: int
    losses: tuple[tuple[int, float, float], ...] = ()
    shards: tuple[ShardStatus, ...]
