"""Removes a container of ours, however it holds on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import docker.errors

from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said

log = logging.getLogger(__name__)

TRIES = 20
PAUSE_S = 0.25


async def removed(engine: Engine, name: str, force: Callable[[], Awaitable[None]] | None = None) -> None:
    """By name, with its volumes, until the engine has it no more. `force` ends what the engine could not."""
    for _ in range(TRIES):
        try:
            await engine.do(engine.api.remove_container, name, force=True, v=True)
            return
        except docker.errors.NotFound:
            return
        except ENGINE_ERRORS as error:
            # one that is frozen or held is ended from outside; another removal may be on its way
            log.warning("container %s is not removed yet: %s", name, said(error))
            if force is not None:
                await force()
            await asyncio.sleep(PAUSE_S)
