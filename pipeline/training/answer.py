"""What a push or a pull is answered with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """`body` holds the parameters when the asker has older ones; `updated` says that its gradient is in them.

    `wait_for` is the version that a worker must have before its next batch; None: go on. `waited_s` is how long
    the request waited for others.
    """

    version: int
    updated: bool
    body: bytes | None
    waited_s: float
    wait_for: int | None
    finished: bool
    global_step: int
    repeated: bool = False
