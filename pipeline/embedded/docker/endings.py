"""What the engine tells of containers that end, in one stream for all of an owner's."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import Any

import docker.errors
from docker.types import CancellableStream

from pipeline.embedded.docker.container import DockerContainer
from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine
from pipeline.embedded.docker.owner import OWNER

log = logging.getLogger(__name__)

PAUSE_S = 1.0
LOST = 137


class Endings:
    """A thread that listens while there is a maker. All else of it belongs to the event loop."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self.engine = engine
        self.owner = owner
        self.loop = asyncio.get_running_loop()
        self.containers: dict[str, DockerContainer] = {}
        self.looking: asyncio.Task[None] | None = None
        self.stream: CancellableStream[Any] | None = None
        self.closed = False
        self.since = int(time.time())
        self.thread = threading.Thread(target=self.listen, name="docker-events", daemon=True)
        self.thread.start()

    def listen(self) -> None:
        filters = {"type": ["container"], "event": ["die", "oom"], "label": [f"{OWNER}={self.owner}"]}
        while not self.closed:
            with suppress(*ENGINE_ERRORS):
                self.stream = self.engine.api.events(since=self.since, filters=filters, decode=True)
                for event in self.stream:
                    self.tell(self.told, event)
            if not self.closed:
                log.warning("the docker engine has ended the stream of its events; it is asked again")
                time.sleep(PAUSE_S)
                self.tell(self.look_again)

    def tell(self, what: Any, *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(what, *arguments)

    def told(self, event: dict[str, Any]) -> None:
        container = self.containers.get(event["Actor"]["ID"])
        if container is None:
            return
        if event["Action"] == "oom":
            container.met_memory()
        else:
            container.died(int(event["Actor"]["Attributes"].get("exitCode", LOST)))

    def look_again(self) -> None:
        """What ended while nobody listened."""
        self.looking = asyncio.create_task(self.look())

    async def look(self) -> None:
        for container in list(self.containers.values()):
            try:
                found = await self.engine.do(self.engine.api.inspect_container, container.number)
            except docker.errors.NotFound:
                container.died(LOST)
            except ENGINE_ERRORS:
                continue
            else:
                if found["State"]["Status"] in ("exited", "dead"):
                    container.died(int(found["State"]["ExitCode"]))

    def close(self) -> None:
        self.closed = True
        if self.stream is not None:
            with suppress(*ENGINE_ERRORS, ValueError, AttributeError):
                self.stream.close()
