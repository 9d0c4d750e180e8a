"""What a supervisor has where actions run in an OpenWhisk elsewhere: ports on which their services answer.

Nothing there can be set, measured or cancelled from here. Whoever reaches a port is let in, so every service behind one
asks for a token or a signature.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.embedded.contract import Pool, Reach, Service, Usage
from pipeline.embedded.sandbox.listeners import pump
from pipeline.embedded.settings import Outside
from pipeline.embedded.sockets import tcp_listener
from pipeline.errors import CourseError, InfrastructureError
from pipeline.files import write_json
from pipeline.settings import Isolation

CONNECTIONS = 256
"""Of each service at a time: one more is ended at once."""
ISOLATION = Isolation.CONTAINER
UNENFORCED: tuple[str, ...] = (
    "no network of the run's own: its containers reach what that OpenWhisk's network reaches",
    "a user without rights: only the image asks for one",
    "read-only files, number of processes: that OpenWhisk's own settings hold",
    "encryption between containers and this host",
    "an end of running activations when a run is cancelled: they run to their time limit",
)


class Elsewhere:
    """Stands where the embedded OpenWhisk does. Ports are kept in `file`: the same after a restart."""

    def __init__(self, outside: Outside, file: Path) -> None:
        self.outside = outside
        self.file = file
        self.ports: dict[str, int] = read_ports(file)
        self.servers: dict[str, asyncio.Server] = {}
        self.services: dict[str, Service] = {}
        self.connected: Counter[str] = Counter()

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        """A port for each service; service -> advertised host:port. Raises CourseError where none can be had."""
        for service in reach.services:
            name = f"{reach.action}/{service.name}"
            self.services[name] = service
            if name not in self.servers:
                self.servers[name] = await self.listen(name)
        write_json(self.file, self.ports, mode=0o600)
        return {one.name: self.address(f"{reach.action}/{one.name}") for one in reach.services}

    def address(self, name: str) -> str:
        return f"{self.outside.advertise}:{self.ports[name]}"

    async def listen(self, name: str) -> asyncio.Server:
        """On the port of before, else, where that is another's now, on a free one."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self.pass_on(name, reader, writer)

        bind = self.outside.bind
        try:
            listener = tcp_listener(bind, self.ports.get(name, 0))
        except InfrastructureError:
            try:
                listener = tcp_listener(bind, 0)
            except (InfrastructureError, OSError) as error:
                raise CourseError(
                    f"cannot listen on {bind} for containers of {self.outside.apihost}: {error}",
                    hint="servers.bind is an address of this machine; servers.advertise what containers see of it",
                ) from error
        self.ports[name] = listener.getsockname()[1]
        return await asyncio.start_server(connected, sock=listener)

    async def pass_on(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.connected[name] >= CONNECTIONS:
            writer.close()
            return
        self.connected[name] += 1
        try:
            outside, inward = await self.connect(self.services[name])
            await asyncio.gather(pump(reader, inward), pump(outside, writer))
            inward.close()
        except OSError:
            pass  # the service is gone: so is the connection
        finally:
            self.connected[name] -= 1
            writer.close()

    async def connect(self, service: Service) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if service.socket is not None:
            return await asyncio.open_unix_connection(str(service.socket))
        host, _, port = service.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    @property
    def in_use(self) -> bool:
        return any(self.connected.values())

    def usage(self, _namespace: str) -> Sequence[Usage]:
        return ()

    def pool(self) -> Pool:
        """Unknown: nothing of that OpenWhisk's pool can be seen."""
        return Pool(size_mb=0, busy_mb=0, idle_mb=0, prewarmed_mb=0, containers=0)

    async def cancel(self, _namespace: str) -> int:
        return 0

    async def stop(self) -> None:
        for server in self.servers.values():
            server.close()
        self.servers.clear()


def read_ports(file: Path) -> dict[str, int]:
    with suppress(FileNotFoundError, ValueError, AttributeError):
        return {str(name): int(port) for name, port in json.loads(file.read_bytes()).items()}
    return {}
