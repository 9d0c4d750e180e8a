"""The networks of containers: one for each namespace, internal, on which only what was offered there answers.

Docker keeps containers of such a network from each other and from other networks; the firewall closes this host's own
services to them; services are offered on the gateway's address (`gateway.Gateway`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.types import IPAMConfig, IPAMPool

from pipeline.embedded.contract import Reach, Service
from pipeline.embedded.docker import firewall
from pipeline.embedded.docker.firewall import Firewall, Opening
from pipeline.embedded.docker.gateway import Gateway
from pipeline.embedded.docker.owner import OWNER, Owner, alive
from pipeline.embedded.docker.subnets import Subnet, candidates, of_this_host, pool_of, read_subnets
from pipeline.embedded.passing import address_of
from pipeline.errors import CourseError, InfrastructureError

TAKEN = ("overlaps", "conflicts with network", "already exists")
"""What the engine says of a subnet, a bridge or a name that another one was given first."""
BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


@dataclass(frozen=True)
class Network:
    """A docker network. `gateway` is this host's address there, `bridge` its interface."""

    name: str
    gateway: str
    subnet: str
    bridge: str


@dataclass
class Place:
    """A network, and what answers and is open there. `names` are those that were given as targets."""

    network: Network
    gateway: Gateway
    names: dict[str, str] = field(default_factory=dict)
    led: dict[str, dict[tuple[str, int], int]] = field(default_factory=dict)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def opening(self) -> Opening:
        """What answers now, and the addresses that lead there."""
        ports = self.gateway.ports
        led = {address: ports[port] for each in self.led.values() for address, port in each.items() if port in ports}
        return Opening(self.network.gateway, frozenset(ports.values()), led)


class Networks:
    """Makes networks at their first use. `pool` is the range that they are cut from, `containers` how many each takes.

    Raises CourseError for a pool that cannot be. All of it is used in one event loop.
    """

    def __init__(self, engine: docker.DockerClient, owner: Owner, pool: str, containers: int) -> None:
        self.engine = engine
        self.owner = owner
        self.pool, self.prefix = pool_of(pool, containers)
        self.firewall = Firewall(owner.text)
        self.places: dict[str, asyncio.Task[Place]] = {}
        self.peers: dict[str, Gateway] = {}

    def unenforced(self) -> tuple[str, ...]:
        """What does not hold here, and why."""
        return self.firewall.missing

    async def of(self, namespace: str) -> Network:
        """Raises CourseError where the pool has no room or the engine is elsewhere, InfrastructureError."""
        return (await self.place(namespace)).network

    async def place(self, namespace: str) -> Place:
        """All who ask at once get the same one; who is cancelled does not take it from the others."""
        if namespace not in self.places:
            self.places[namespace] = asyncio.create_task(self.make(namespace))
        making = self.places[namespace]
        try:
            return await asyncio.shield(making)
        except (CourseError, InfrastructureError):
            if self.places.get(namespace) is making:
                del self.places[namespace]
            raise

    async def make(self, namespace: str) -> Place:
        network = await asyncio.to_thread(self.create, namespace)
        if not keeps_apart():
            await asyncio.to_thread(self.remove, network)
            raise InfrastructureError(
                "docker does not keep containers of one network from each other here",
                hint="the kernel's module br_netfilter must be there, with net.bridge.bridge-nf-call-iptables = 1",
            )
        return Place(network, Gateway(network.gateway))

    def create(self, namespace: str) -> Network:
        """The firewall stands first. What fails leaves nothing."""
        bridge = f"{firewall.PREFIX}{secrets.token_hex(4)}"
        name = f"pipeline-{bridge}"
        self.firewall.close_off(bridge)
        try:
            for subnet in candidates(self.pool, self.prefix, taken(self.engine)):
                with suppress(TakenError):
                    gateway = str(subnet.network_address + 1)
                    self.create_with(name, bridge, subnet, gateway, self.owner.labels(namespace))
                    return Network(name, gateway, str(subnet), bridge)
        except BaseException:
            self.firewall.remove(bridge)
            raise
        self.firewall.remove(bridge)
        raise CourseError(
            f"no network is left for another run: all of {self.pool} is taken",
            hint="wait for other runs, remove networks that nobody needs, or name a larger range in servers.networks",
        )

    def create_with(self, name: str, bridge: str, subnet: Subnet, gateway: str, labels: dict[str, str]) -> None:
        options = {
            "com.docker.network.bridge.name": bridge,
            "com.docker.network.bridge.enable_icc": "false",
            "com.docker.network.bridge.enable_ip_masquerade": "false",
        }
        pools = [IPAMPool(subnet=str(subnet), gateway=gateway)]
        try:
            self.engine.networks.create(
                name,
                driver="bridge",
                internal=True,
                attachable=False,
                check_duplicate=True,
                ipam=IPAMConfig(pool_configs=pools),
                options=options,
                labels=labels,
            )
        except docker.errors.APIError as error:
            if any(word in str(error.explanation).lower() for word in TAKEN):
                raise TakenError from error
            raise InfrastructureError(
                f"docker made no network for containers: {error.explanation}", hint="see the engine's log"
            ) from error

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        """Offers these services to the action's containers; service -> host:port inside.

        A target is found under its own address too where the firewall can lead there, so not on the loopback.
        Raises as `of` does, and CourseError for a name that is unknown.
        """
        place = await self.place(reach.namespace)
        async with place.changing:
            await place.gateway.offer(reach.action, reach.services)
            place.led[reach.action] = {}
            for service in reach.services:
                if service.target:
                    await self.lead(place, reach.action, service)
            await asyncio.to_thread(self.firewall.open, place.network.bridge, place.opening())
            ports = place.gateway.ports
        return {service.name: f"{place.network.gateway}:{ports[service.port]}" for service in reach.services}

    async def lead(self, place: Place, action: str, service: Service) -> None:
        host, port = address_of(service.target)
        address = await resolved(host)
        outside = self.firewall.ipv4 and not ipaddress.IPv4Address(address).is_loopback
        if outside:
            place.led[action][address, port] = service.port
        if host != address and host != "localhost":
            place.names[host] = address if outside else place.network.gateway

    def admit(self, address: str, namespace: str, action: str) -> None:
        """From here on the container with this address is served what its action reaches."""
        gateway = self.made(namespace).gateway
        self.peers[address] = gateway
        gateway.admit(address, action)

    def dismiss(self, address: str) -> None:
        """Before the container's address can be another's. Harmless where nobody was admitted."""
        gateway = self.peers.pop(address, None)
        if gateway is not None:
            gateway.dismiss(address)

    def hosts(self, namespace: str) -> dict[str, str]:
        """Names that containers of the namespace must be given, and their addresses."""
        return dict(self.made(namespace).names)

    def made(self, namespace: str) -> Place:
        return self.places[namespace].result()

    async def close(self) -> None:
        """Ends all services and removes the networks; their containers must be gone."""
        making, self.places = list(self.places.values()), {}
        for place in await asyncio.gather(*making, return_exceptions=True):
            if isinstance(place, Place):
                place.gateway.close()
                await asyncio.to_thread(self.remove, place.network)

    def remove(self, network: Network) -> None:
        """The rules last: they stand as long as the bridge does."""
        remove(self.engine, network.name)
        self.firewall.remove(network.bridge)


class TakenError(Exception):
    """Another one was faster."""


def keeps_apart() -> bool:
    """Asked once there is a network: with the first one docker loads the kernel's module."""
    return BRIDGED.exists() and BRIDGED.read_text().strip() == "1"


async def resolved(host: str) -> str:
    """Its address, of IPv4. Raises CourseError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=socket.AF_INET)
    except OSError as error:
        raise CourseError(
            f"{host}, which containers are to reach, is not known here: {error.strerror}",
            hint="name it by an address of IPv4, or by a name that this machine can look up",
        ) from error
    return str(found[0][4][0])


def taken(engine: docker.DockerClient) -> list[Subnet]:
    """The subnets of this host's interfaces and of the engine's networks."""
    ipam: list[dict[str, Any]] = [one.attrs.get("IPAM") or {} for one in engine.networks.list()]
    texts = [config.get("Subnet", "") for each in ipam for config in each.get("Config") or ()]
    return of_this_host() + read_subnets(texts)


def remove(engine: docker.DockerClient, name: str) -> None:
    """Harmless where it is gone. Raises InfrastructureError where containers are still on it."""
    try:
        engine.networks.get(name).remove()
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        raise InfrastructureError(f"docker keeps network {name}: {error.explanation}") from error


def sweep(engine: docker.DockerClient) -> list[str]:
    """Removes networks and rules of owners that have ended, once their containers are gone; the networks' names."""
    gone = []
    for network in engine.networks.list(filters={"label": OWNER}):
        owner = (network.attrs.get("Labels") or {}).get(OWNER, "")
        if not alive(owner):
            with suppress(InfrastructureError):
                remove(engine, str(network.id))
                gone.append(str(network.name))
    kept = {path.name for path in Path("/sys/class/net").glob(f"{firewall.PREFIX}*")}
    if any(not alive(owner) for owner in firewall.owners().values()):
        # rules stay as long as the bridge does
        firewall.remove(lambda bridge, owner: not alive(owner) and bridge not in kept)
    return gone
