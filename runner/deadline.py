"""When an activation ends."""

from __future__ import annotations

import os


def deadline() -> float:
    """When this activation ends, in seconds since the epoch, as OpenWhisk says it; infinity by hand."""
    try:
        return int(os.environ["__OW_DEADLINE"]) / 1000
    except (KeyError, ValueError):
        return float("inf")
