"""What a supervisor has where actions run in an OpenWhisk elsewhere: ports on which their services answer.

Nothing there can be set, measured or cancelled from here. Whoever reaches a port is let in, so every service behind one
asks for a token or a signature.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.embedded.contract import Pool, Reach, Service, Usage
from pipeline.embedded.passing import Passing
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
        self.passing: dict[str, Passing] = {}

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
        """On the port of before, else on the first that is free. Raises CourseError where none is."""

        async def route(_peer: str, _port: int) -> Service:
            return self.services[name]

        reason = ""
        for port in self.candidates(name):
            try:
                listener = tcp_listener(self.outside.bind, port)
            except InfrastructureError as error:
                reason = error.message
                continue
            self.ports[name] = listener.getsockname()[1]
            # containers of one host may all come from one address
            passing = self.passing[name] = Passing(route, most=CONNECTIONS, most_each=CONNECTIONS)
            return await asyncio.get_running_loop().create_server(passing, sock=listener)
        raise CourseError(
            f"no port for containers of {self.outside.apihost}: {reason}",
            hint="servers.bind is an address of this machine, servers.ports a range that has room for all runs at once",
        )

    def candidates(self, name: str) -> Iterable[int]:
        """The port of before goes first: containers that run have it."""
        first, last = self.outside.ports or (0, 0)
        before = self.ports.get(name)
        return range(first, last + 1) if before is None else (before, *range(first, last + 1))

    @property
    def in_use(self) -> bool:
        return any(passing.in_use for passing in self.passing.values())

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
        for passing in self.passing.values():
            passing.close()


def read_ports(file: Path) -> dict[str, int]:
    with suppress(FileNotFoundError, ValueError, AttributeError):
        return {str(name): int(port) for name, port in json.loads(file.read_bytes()).items()}
    return {}
