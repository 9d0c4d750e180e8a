"""Sessions of aiohttp's client, each request of which a test can have its process die before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiohttp

from pipeline import faults


def session(**options: Any) -> aiohttp.ClientSession:
    """The one place of ours that makes them; `options` are those of `aiohttp.ClientSession`."""
    return aiohttp.ClientSession(**options, trace_configs=[watched()] if faults.WATCHED else None)


def watched() -> aiohttp.TraceConfig:
    async def before(_: aiohttp.ClientSession, __: SimpleNamespace, told: aiohttp.TraceRequestStartParams) -> None:
        faults.point(f"request {told.method} {told.url.path}")

    config = aiohttp.TraceConfig()
    config.on_request_start.append(before)
    return config
