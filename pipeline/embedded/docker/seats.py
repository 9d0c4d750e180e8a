"""Where containers are on their network: each has a seat of its own, made for it or held ready.

Most of a container's start is its network: docker sets up its resolver in each new network namespace, which takes
longer than all the rest. So one namespace of each network is held ready, by a container in which nothing happens (a
holder), and the next container joins it: that takes half the time of a plain `docker run`. A namespace is joined by one
container and goes with it. Where none is ready a container is attached to the network by itself, as docker does it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker.errors
from docker.types import LogConfig

from pipeline.embedded.docker import idle
from pipeline.embedded.docker.addresses import Addresses
from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.embedded.docker.networks import Network, Networks
from pipeline.embedded.docker.owner import Owner
from pipeline.embedded.docker.removal import removed
from pipeline.embedded.openwhisk.containers import NoContainerError

log = logging.getLogger(__name__)

PREFIX = "pipeline-holder-"
QUIET_S = 1.0
"""Another namespace is made once no container was wanted for so long: it takes time from no start."""
HOLDER_MEMORY = 32 * 2**20
"""The engine's own program needs some of it at the start."""
HOLDER_TASKS = 32
NOBODY = "65534:65534"


@dataclass(frozen=True)
class Seat:
    """One container's address on a network, and the names that it knows. `holder`: of whose network; empty: its own."""

    network: Network
    address: str
    hosts: Mapping[str, str]
    holder: str = ""


class Seats:
    """Gives seats. All of it is used in one event loop."""

    def __init__(self, engine: Engine, networks: Networks, owner: Owner) -> None:
        self.engine = engine
        self.networks = networks
        self.owner = owner
        self.addresses = Addresses()
        self.held: dict[str, asyncio.Task[Seat | None]] = {}
        self.later: dict[str, asyncio.TimerHandle] = {}
        self.closed = False

    async def take(self, namespace: str, network: Network) -> Seat:
        """The one that is held ready or about to be, else another. Raises NoContainerError where all are taken."""
        self.hold_later(namespace)
        making = self.held.pop(namespace, None)
        held = await making if making is not None else None
        if held is not None:
            if await self.usable(namespace, held):
                return held
            await self.remove(held)
        return Seat(network, self.addresses.take(network), self.networks.hosts(namespace))

    async def usable(self, namespace: str, seat: Seat) -> bool:
        """Whether its names are those of now, and nobody has removed its holder."""
        if seat.hosts != self.networks.hosts(namespace):
            return False
        try:
            state = (await self.engine.do(self.engine.api.inspect_container, seat.holder))["State"]
        except ENGINE_ERRORS:
            return False
        return bool(state["Running"])

    def give_back(self, seat: Seat) -> None:
        """Once its container and its holder are gone."""
        self.addresses.give_back(seat.network, seat.address)

    def hold(self, namespace: str) -> None:
        """Begins to make a seat that the namespace's next container finds ready, unless there is one."""
        self.forget(namespace)
        if not self.closed and namespace not in self.held and self.engine.machine in idle.INSTRUCTIONS:
            self.held[namespace] = asyncio.create_task(self.make(namespace))

    def hold_later(self, namespace: str) -> None:
        self.forget(namespace)
        self.later[namespace] = asyncio.get_running_loop().call_later(QUIET_S, self.hold, namespace)

    def forget(self, namespace: str) -> None:
        if (waiting := self.later.pop(namespace, None)) is not None:
            waiting.cancel()

    async def make(self, namespace: str) -> Seat | None:
        """None where that cannot be, which only takes longer at the next start."""
        network = self.networks.made(namespace).network
        try:
            address = self.addresses.take(network)
        except NoContainerError:
            return None
        seat = Seat(network, address, self.networks.hosts(namespace), f"{PREFIX}{secrets.token_hex(4)}")
        try:
            await self.engine.do(start, self.engine, seat, self.owner.labels(namespace))
        except ENGINE_ERRORS as error:
            log.warning("no network is held ready for %s: %s", namespace, said(error))
            await self.remove(seat)
            return None
        return seat

    async def remove(self, seat: Seat) -> None:
        await removed(self.engine, seat.holder)
        self.give_back(seat)

    async def close(self) -> None:
        """Those that are held; containers and their holders go by themselves."""
        self.closed = True
        for waiting in self.later.values():
            waiting.cancel()
        making, self.held = list(self.held.values()), {}
        made = await asyncio.gather(*making)
        await asyncio.gather(*(self.remove(seat) for seat in made if seat is not None))


def attachment(seat: Seat) -> dict[str, Any]:
    """What `create_host_config` takes for a container that is attached to the network by itself."""
    return {
        "network_mode": seat.network.name,
        # names are not looked up outside: where this host asks a server on its loopback, docker would ask it from here
        "dns": [seat.network.gateway],
        "extra_hosts": dict(seat.hosts),
    }


def endpoint(engine: Engine, seat: Seat) -> dict[str, Any]:
    """The same for `create_container`: its address."""
    place: Any = {seat.network.name: engine.api.create_endpoint_config(ipv4_address=seat.address)}
    return dict(engine.api.create_networking_config(place))


def start(engine: Engine, seat: Seat, labels: dict[str, str]) -> None:
    """Starts the seat's holder. Raises ENGINE_ERRORS."""
    try:
        create(engine, seat, labels)
    except docker.errors.ImageNotFound:
        idle.make(engine)
        create(engine, seat, labels)
    engine.api.start(seat.holder)


def create(engine: Engine, seat: Seat, labels: dict[str, str]) -> None:
    limits: dict[str, Any] = {
        "read_only": True,
        "mem_limit": HOLDER_MEMORY,
        "memswap_limit": HOLDER_MEMORY,
        "pids_limit": HOLDER_TASKS,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "log_config": LogConfig(type=LogConfig.types.NONE, config={}),
        "restart_policy": {"Name": "no"},
    }
    engine.api.create_container(
        f"{idle.REPOSITORY}:{idle.tag(engine.machine)}",
        name=seat.holder,
        user=NOBODY,
        labels=labels,
        host_config=engine.api.create_host_config(**attachment(seat), **limits),
        networking_config=endpoint(engine, seat),
    )
