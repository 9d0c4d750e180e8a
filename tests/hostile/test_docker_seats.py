"""Network namespaces that are held ready: each is one container's, goes with it, and is not missed where it is gone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.both_sandboxes import DockerSandbox, InEither

from pipeline.embedded.contract import Reach
from pipeline.embedded.docker.container import DockerContainer

LOOKS = """
import os, socket
kept = []
def main(params):
    found = {"namespace": os.readlink("/proc/self/ns/net"), "hosts": open("/etc/hosts").read()}
    found["listening"] = [line.split()[3] for line in open("/proc/net/tcp")].count("0A")
    kept.append(socket.create_server(("127.0.0.1", 7000)))
    return found
"""


async def looked(made: DockerSandbox, name: str) -> tuple[DockerContainer, dict[str, Any]]:
    container = await made.initialised(LOOKS, name)
    assert isinstance(container, DockerContainer)
    reply = await container.request("/run", b'{"value":{}}', timeout_s=60, reply_limit=10_000)
    return container, json.loads(reply.body)


def there(made: DockerSandbox, name: str) -> list[str]:
    return [str(one.name) for one in made.engine.containers.list(all=True, ignore_removed=True, filters={"name": name})]


@pytest.mark.usefixtures("docker_unchanged")
def test_a_namespace_is_one_container_s_and_goes_with_it(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        await made.maker.set_reach(Reach(namespace="guest", action="action", services=()))
        held, seen = await looked(made, "held")
        assert there(made, held.holder) == [held.holder]
        apart, own = await looked(made, "apart")
        made.maker.seats.hold("guest")
        next_held, others = await looked(made, "next")
        assert held.holder and next_held.holder and held.holder != next_held.holder
        assert len({one["namespace"] for one in (seen, own, others)}) == 3
        # docker's resolver and the runner, nothing of a neighbour's, in whichever kind of namespace
        assert len({one["listening"] for one in (seen, own, others)}) == 1
        for one, found in ((held, seen), (apart, own), (next_held, others)):
            assert one.address in found["hosts"]
        await held.stop()
        assert there(made, held.holder) == there(made, held.name) == []
        again = await made.create("again")
        assert isinstance(again, DockerContainer) and again.holder != held.holder

    in_docker(steps)


def test_a_namespace_that_is_gone_or_knows_former_names_is_not_joined(in_docker: InEither) -> None:
    async def steps(made: DockerSandbox) -> None:
        await made.maker.set_reach(Reach(namespace="guest", action="action", services=()))
        assert await made.maker.seats.held["guest"] is not None
        made.maker.networks.made("guest").names["course.example"] = "192.0.2.1"
        container, found = await looked(made, "named")
        assert "192.0.2.1\tcourse.example" in found["hosts"]
        made.maker.seats.hold("guest")
        seat = await made.maker.seats.held["guest"]
        assert seat is not None and seat.hosts
        made.engine.containers.get(seat.holder).remove(force=True)
        other, _ = await looked(made, "other")
        assert (container.holder, other.holder) == ("", "")
        assert there(made, seat.holder) == []

    in_docker(steps)
