"""Where a service is of the other kind than a container needs.

Without a network namespace programs speak TCP: a loopback port for each Unix socket. With one they are given Unix
sockets: one of ours for each host:port.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from pipeline.embedded.contract import Service
from pipeline.embedded.passing import Passing

CONNECTIONS = 64
"""Of each service at a time, as in the relay: one more is ended at once."""
OPEN_TO_ALL = 0o666
"""A folder that only we can pass keeps others away; the sandbox's user must be able to connect."""


class Listeners:
    """Ports by the Unix socket that they pass on to, and the other way round; the same one keeps its listener.

    `sockets` is a folder of ours whose path is short.
    """

    def __init__(self, sockets: Path) -> None:
        self.sockets = sockets
        self.ports: dict[Path, asyncio.Server] = {}
        self.doors: dict[Path, asyncio.Server] = {}
        self.passing: list[Passing] = []

    async def port(self, service: Service) -> str:
        """host:port on the loopback, of a service that is a Unix socket; a target is what it is."""
        if service.socket is None:
            return service.target
        if service.socket not in self.ports:
            passing = self.pass_on(service)
            loop = asyncio.get_running_loop()
            self.ports[service.socket] = await loop.create_server(passing, "127.0.0.1", 0)
        host, port = self.ports[service.socket].sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def with_socket(self, service: Service) -> Service:
        """The same service by a Unix socket."""
        if service.socket is not None:
            return service
        path = self.sockets / f"svc-{hashlib.sha256(service.target.encode()).hexdigest()[:16]}"
        if path not in self.doors:
            path.unlink(missing_ok=True)
            self.doors[path] = await asyncio.get_running_loop().create_unix_server(self.pass_on(service), str(path))
        return service.model_copy(update={"socket": path, "target": ""})

    def pass_on(self, service: Service) -> Passing:
        async def route(_peer: str, _port: int) -> Service:
            return service

        self.passing.append(Passing(route, most=CONNECTIONS, most_each=CONNECTIONS))
        return self.passing[-1]

    async def close(self) -> None:
        for server in (*self.ports.values(), *self.doors.values()):
            server.close()
        for passing in self.passing:
            passing.close()
        for path in self.doors:
            path.unlink(missing_ok=True)
        for kept in (self.ports, self.doors):
            kept.clear()
