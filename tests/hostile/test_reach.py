"""What a container finds when it scans: its own action's services, and nothing else, on either sandbox."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import docker
import psutil
import pytest
from support.action_sandboxes import SANDBOXES, sandbox_of
from support.made import Made, ask, made
from support.openwhisk import Sandbox
from support.scan import CODE

from pipeline.embedded.contract import EVERY_ACTION, Reach, Service
from pipeline.embedded.docker import networks
from pipeline.embedded.docker.container import DockerContainer
from pipeline.embedded.docker.networks import Networks
from pipeline.embedded.docker.owner import Owner, owner_of
from pipeline.embedded.sandbox.probe import probe
from pipeline.errors import CourseError
from pipeline.settings import Isolation

LOOPBACK = ("127.0.0.1", "127.0.0.11")
METADATA = "169.254.169.254"
OWN_PORT = 8080
"""On which an action in docker serves OpenWhisk itself."""
LISTENS = """
import socket, threading
def main(params):
    listener = socket.create_server(("", params["port"]))
    def serve():
        while True:
            listener.accept()[0].sendall(b"a neighbour")
    threading.Thread(target=serve, daemon=True).start()
    return {}
"""
SAYS = """
import socket
def main(params):
    host, port = params["address"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as one:
        return {"said": one.recv(100).decode()}
"""
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can set the firewall's rules"),
    pytest.mark.usefixtures("docker_unchanged"),
]


@pytest.fixture(params=SANDBOXES)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "process" and probe().isolation is not Isolation.NAMESPACES:
        pytest.skip("bubblewrap does not work here, so there are no namespaces")
    with sandbox_of(request.param, request) as found:
        assert found is not None
        yield found


@dataclass
class Host:
    """Servers of this machine that answer on all of its addresses: on `port`, and what comes by UDP on two."""

    port: int
    asked: list[str] = field(default_factory=list)

    async def say(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"the host")
        self.asked.append(str(writer.get_extra_info("peername")))
        writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, host: Host) -> None:
        self.host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: object) -> None:
        self.host.asked.append(f"{peer} by UDP")
        self.transport.sendto(b"the host", cast(tuple[str, int], peer))


@asynccontextmanager
async def everywhere() -> AsyncIterator[Host]:
    loop = asyncio.get_running_loop()
    host = Host(0)
    servers = [await asyncio.start_server(host.say, "0.0.0.0", 0)]
    host.port = servers[0].sockets[0].getsockname()[1]
    servers.append(await asyncio.start_server(host.say, "::", host.port))
    transports = []
    for address, port in (("0.0.0.0", host.port), ("::", host.port), ("0.0.0.0", 53), ("::", 53)):
        with suppress(OSError):  # a machine may have a server of names of its own, which is as good here
            transports.append((await loop.create_datagram_endpoint(lambda: Datagrams(host), (address, port)))[0])
    try:
        yield host
    finally:
        for server in servers:
            server.close()
        for transport in transports:
            transport.close()


def of_this_machine() -> list[str]:
    """Every address of every interface; those of IPv6's links by the container's own interface."""
    found = [one.address for each in psutil.net_if_addrs().values() for one in each if one.family in FAMILIES]
    return [f"{one.partition('%')[0]}%eth0" if one.startswith("fe80") else one for one in found]


FAMILIES = (socket.AF_INET, socket.AF_INET6)


async def serve(folder: Path, name: str, port: int) -> Service:
    """A service by a Unix socket, which says its name."""

    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(name.encode())
            await writer.drain()
            writer.close()

    path = folder / f"{name}.sock"
    await asyncio.start_unix_server(say, str(path))
    return Service(name=name, socket=path, port=port)


def in_sandbox(sandbox: Sandbox, steps: Callable[[Made], Awaitable[None]]) -> None:
    async def run() -> None:
        async with made(sandbox) as found:
            await steps(found)

    asyncio.run(run())


def test_a_scan_finds_the_own_service_and_nothing_else(sandbox: Sandbox) -> None:
    async def steps(place: Made) -> None:
        async with everywhere() as host:
            await scanned(place, host)

    in_sandbox(sandbox, steps)


async def scanned(place: Made, host: Host) -> None:
    mine, foreign = await serve(place.folder, "mine", 9000), await serve(place.folder, "foreign", 9001)
    inside = await place.maker.set_reach(Reach(namespace="run-a", action="worker", services=(mine,)))
    others = await place.maker.set_reach(Reach(namespace="run-b", action="worker", services=(mine, foreign)))
    neighbours = [await place.start(LISTENS, action="other"), await place.start(LISTENS, namespace="run-b")]
    for one in neighbours:
        await ask(one, "/run", {"port": 7000})
    scanner = await place.start(CODE)
    hosts = [METADATA, *of_this_machine(), *(one.rpartition(":")[0] for one in (*inside.values(), *others.values()))]
    hosts += [one.address for one in neighbours if isinstance(one, DockerContainer)]
    ports = [9000, 9001, 7000, OWN_PORT, host.port, 22, 80, 111, 2375, 3233]
    names = ["example.com", "host.docker.internal"]
    found = await ask(scanner, "/run", {"hosts": hosts, "ports": ports, "names": names})
    own = {f"{address}:{OWN_PORT}" for address in (*LOOPBACK, getattr(scanner, "address", ""))}
    answered = {where: said for where, said in found["found"].items() if where not in own}
    assert answered == {inside["mine"]: "mine"}
    assert len(found["hosts"]) > 5
    assert host.asked == []


def test_two_actions_of_a_run_have_their_own_services_on_one_port(sandbox: Sandbox) -> None:
    async def steps(place: Made) -> None:
        said = {}
        for name in ("one", "two"):
            reach = Reach(namespace="run-a", action=name, services=(await serve(place.folder, name, 9000),))
            address = (await place.maker.set_reach(reach))[name]
            said[name] = (await place.start(SAYS, action=name), address)
        for name, (container, address) in said.items():
            assert await ask(container, "/run", {"address": address}) == {"said": name}

    in_sandbox(sandbox, steps)


def test_a_service_by_its_address_is_reached_by_every_action_that_has_no_reach_of_its_own(sandbox: Sandbox) -> None:
    async def steps(place: Made) -> None:
        async with everywhere() as host:
            target = Service(name="t", target=f"127.0.0.1:{host.port}", port=9000)
            inside = await place.maker.set_reach(Reach(namespace="guest", action=EVERY_ACTION, services=(target,)))
            none = Reach(namespace="guest", action="alone", services=())
            assert await place.maker.set_reach(none) == {}
            any_action = await place.start(SAYS, namespace="guest", action="any")
            assert await ask(any_action, "/run", {"address": inside["t"]}) == {"said": "the host"}
            alone = await place.start(CODE, namespace="guest", action="alone")
            address, _, port = inside["t"].rpartition(":")
            found = await ask(alone, "/run", {"hosts": [address], "ports": [int(port), host.port]})
            assert found["found"] == {}

    in_sandbox(sandbox, steps)


@pytest.fixture
def owner() -> Owner:
    return owner_of(os.getpid(), Path("/tmp"))


def test_an_address_that_is_named_is_reached_as_it_is_and_by_its_name(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker alone: there the kernel leads an address to our listener."""
    outward = next((one for one in of_this_machine() if not one.startswith(("127.", "172.17.")) and "." in one), None)
    if outward is None:
        pytest.skip("this machine has no address of IPv4 but its loopback")

    async def known(name: str) -> str:
        return {"course.example": outward}.get(name, name)

    monkeypatch.setattr(networks, "resolved", known)

    async def steps(place: Made) -> None:
        async with everywhere() as host:
            # the name is not known out here: what is dialled is the address
            given = Service(name="t", target=f"{outward}:{host.port}", port=20_000)
            named = Service(name="n", target=f"course.example:{host.port}", port=20_001)
            await place.maker.set_reach(Reach(namespace="guest", action=EVERY_ACTION, services=(named, given)))
            container = await place.start(SAYS, namespace="guest", action="any")
            for where in (outward, "course.example"):
                assert await ask(container, "/run", {"address": f"{where}:{host.port}"}) == {"said": "the host"}

    with sandbox_of("docker", request) as found:
        assert found is not None
        in_sandbox(found, steps)


def test_ten_networks_at_once_are_ten_and_gone_afterwards(engine: docker.DockerClient, owner: Owner) -> None:
    async def run() -> None:
        # as two supervisors would, in a pool that has room for no more than sixteen
        two = [Networks(engine, owner, "10.215.0.0/24", 12) for _ in range(2)]
        made = await asyncio.gather(*(each.of(f"run-{at}") for each in two for at in range(5)), two[0].of("run-0"))
        assert made[-1] == made[0]
        assert len({one.subnet for one in made}) == 10
        assert all(one.subnet.endswith("/28") for one in made)
        assert {one.name for one in made} <= {str(one.name) for one in engine.networks.list()}
        await asyncio.gather(*(each.close() for each in two))

    asyncio.run(run())


def test_sixteen_containers_have_a_larger_network_and_a_full_pool_says_so(
    engine: docker.DockerClient, owner: Owner
) -> None:
    async def run() -> None:
        found = Networks(engine, owner, "10.215.1.0/26", 16)
        try:
            assert {(await found.of(name)).subnet.rpartition("/")[2] for name in ("one", "two")} == {"27"}
            with pytest.raises(CourseError, match=r"10\.215\.1\.0/26 is taken") as full:
                await found.of("three")
            assert "servers.networks" in full.value.hint
        finally:
            await found.close()

    asyncio.run(run())


def test_what_a_killed_owner_left_is_removed_and_nothing_of_a_living_one(
    engine: docker.DockerClient, owner: Owner
) -> None:
    async def run() -> None:
        mine, killed = Networks(engine, owner, "10.215.2.0/24", 12), Networks(engine, await dead(), "10.215.2.0/24", 12)
        network, left = await mine.of("run"), await killed.of("run")
        networks.sweep(engine)
        there = {str(one.name) for one in engine.networks.list()}
        assert network.name in there and left.name not in there
        assert network.bridge in networks.firewall.owners() and left.bridge not in networks.firewall.owners()
        await mine.close()

    asyncio.run(run())


async def dead() -> Owner:
    process = await asyncio.create_subprocess_exec("sleep", "100")
    owner = owner_of(process.pid, Path("/tmp"))
    process.kill()
    await process.wait()
    return owner
