"""What answers a network's containers: listeners on the address that this host has there, routed by who asks.

A container is served what its own action may reach, so that two actions can have different services on one port. A
connection of anybody else is reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from pipeline.embedded.contract import EVERY_ACTION, Service
from pipeline.embedded.passing import Passing
from pipeline.errors import CourseError

CONNECTIONS, CONNECTIONS_EACH = 512, 64
"""At a time on one network, and of one container: a supervisor has descriptors for some thousand sockets."""
ADMITTED_S = 10.0
"""A container may connect before its maker has learnt its address from the engine."""
BACKLOG = 512


class Gateway:
    """The services of one network. Actions without services of their own have those of `EVERY_ACTION`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.services: dict[str, Mapping[int, Service]] = {}
        self.servers: dict[int, asyncio.Server] = {}
        self.asked_for: dict[int, int] = {}
        self.actions: dict[str, str] = {}
        self.known: dict[str, asyncio.Event] = {}
        self.opening = asyncio.Lock()
        self.passing = Passing(self.route, most=CONNECTIONS, most_each=CONNECTIONS_EACH)

    @property
    def ports(self) -> dict[int, int]:
        """Where services answer, by the port that they were to have: another one where this host has that already."""
        return {wanted: port for port, wanted in self.asked_for.items()}

    async def offer(self, action: str, services: tuple[Service, ...]) -> None:
        """These, in the place of those that the action had; ports that nobody uses any more are closed.

        Raises CourseError where this machine cannot listen there.
        """
        async with self.opening:
            self.services[action] = MappingProxyType({service.port: service for service in services})
            wanted = {port for offered in self.services.values() for port in offered}
            for port in wanted - set(self.ports):
                await self.listen(port)
            for port, unused in list(self.asked_for.items()):
                if unused not in wanted:
                    self.servers.pop(port).close()
                    del self.asked_for[port]

    async def listen(self, wanted: int) -> None:
        try:
            server = await self.listening(wanted)
        except OSError:
            # below 1024 and not root, or a service of this host listens on all its addresses
            try:
                server = await self.listening(0)
            except OSError as error:
                raise CourseError(
                    f"cannot listen on {self.address}, this host's address for containers: {error.strerror}",
                    hint="the docker engine must run on this machine itself; --sandbox process needs none",
                ) from error
        port = server.sockets[0].getsockname()[1]
        self.servers[port] = server
        self.asked_for[port] = wanted

    async def listening(self, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self.passing, self.address, port, backlog=BACKLOG)

    async def route(self, peer: str, port: int) -> Service | None:
        """Waits for a peer that is not known yet: only containers of ours are on this network."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ADMITTED_S):
                await self.known.setdefault(peer, asyncio.Event()).wait()
        action = self.actions.get(peer)
        wanted = self.asked_for.get(port)
        return None if action is None or wanted is None else self.reached(action).get(wanted)

    def reached(self, action: str) -> Mapping[int, Service]:
        found = self.services.get(action)
        return self.services.get(EVERY_ACTION, {}) if found is None else found

    def admit(self, peer: str, action: str) -> None:
        self.actions[peer] = action
        self.known.setdefault(peer, asyncio.Event()).set()

    def dismiss(self, peer: str) -> None:
        """Its connections end too: the next container may get its address."""
        self.actions.pop(peer, None)
        self.known.pop(peer, None)
        self.passing.end(peer)

    def close(self) -> None:
        for server in self.servers.values():
            server.close()
        self.servers.clear()
        self.passing.close()
