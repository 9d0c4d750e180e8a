"""The service as the supervisor uses it: cancelling, namespaces, usage, reach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.openwhisk import IMAGES
from support.plain_maker import PlainMaker

from pipeline.embedded.contract import Reach, Service
from pipeline.embedded.openwhisk.actions import Action, read_change
from pipeline.embedded.openwhisk.errors import ApiError
from pipeline.embedded.openwhisk.server import OpenWhisk
from pipeline.embedded.openwhisk.settings import Settings

SETTINGS = Settings(pool_mb=256)
CHANGE = {"exec": {"kind": "blackbox", "image": "action:1"}, "limits": {"memory": 256}}
SLEEP = {"do": "sleep", "seconds": 60}


async def serving(state: Path, test: Callable[[OpenWhisk], Any]) -> None:
    service = OpenWhisk(state, PlainMaker(IMAGES), SETTINGS)
    await service.start()
    await service.serve("127.0.0.1", 0)
    try:
        await test(service)
    finally:
        await service.stop()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def put(service: OpenWhisk, namespace: str, name: str) -> Action:
    return await service.put_action(namespace, name, read_change(CHANGE, SETTINGS), overwrite=True)


def test_cancel_ends_what_runs_and_what_waits_of_the_named_actions(tmp_path: Path) -> None:
    async def test(service: OpenWhisk) -> None:
        guest = service.add_namespace("guest")
        mine, other = await put(service, "guest", "mine"), await put(service, "guest", "other")
        running = service.invoke(mine, guest, SLEEP, "t")
        await until(lambda: running.started)
        waiting = service.invoke(mine, guest, SLEEP, "t")
        kept = service.invoke(other, guest, {}, "t")
        await until(lambda: [one.position for one in service.queue] == [1, 2])
        assert await service.cancel("guest", ["mine"]) == 2
        for one in (running, waiting):
            response = (await one.answered)["response"]
            assert (response["status"], response["result"]) == (
                "whisk internal error",
                {"error": "The activation was cancelled."},
            )
        assert (await kept.answered)["response"]["success"]
        assert await service.cancel("guest") == 0
        assert service.pool().queue == ()

    asyncio.run(serving(tmp_path, test))


def test_a_removed_namespace_leaves_nothing_behind(tmp_path: Path) -> None:
    async def test(service: OpenWhisk) -> None:
        run = service.add_namespace("run-1")
        action = await put(service, "run-1", "a")
        running = service.invoke(action, run, SLEEP, "t")
        await until(lambda: running.started)
        await service.remove_namespace("run-1")
        await service.remove_namespace("run-1")
        assert running.answered.done()
        await until(lambda: service.pool().containers == 0)
        assert service.actions("run-1") == []
        with pytest.raises(ApiError):
            service.namespaces.authenticate("Basic cnVuLTE6eA==")

    asyncio.run(serving(tmp_path, test))


def test_usage_is_of_one_namespace_and_reach_goes_to_the_maker(tmp_path: Path) -> None:
    async def test(service: OpenWhisk) -> None:
        guest = service.add_namespace("guest")
        activation = service.invoke(await put(service, "guest", "a"), guest, {}, "t")
        await activation.answered
        await until(lambda: service.usage("guest"))
        assert [one.activation for one in service.usage("guest")] == [activation.id]
        assert service.usage("other") == []
        services = (Service(name="store", socket=tmp_path / "s", port=9000),)
        assert await service.set_reach(Reach(namespace="guest", action="a", services=services)) == {
            "store": "127.0.0.1:9000"
        }

    asyncio.run(serving(tmp_path, test))


def test_stopping_records_what_ran(tmp_path: Path) -> None:
    ids: list[str] = []

    async def first(service: OpenWhisk) -> None:
        guest = service.add_namespace("guest")
        running = service.invoke(await put(service, "guest", "a"), guest, SLEEP, "t")
        await until(lambda: running.started)
        ids.append(running.id)

    async def second(service: OpenWhisk) -> None:
        record = service.journal.record("guest", ids[0])
        assert record is not None
        assert record["response"]["status"] == "whisk internal error"

    asyncio.run(serving(tmp_path, first))
    asyncio.run(serving(tmp_path, second))


def test_a_torn_or_damaged_journal_loses_only_the_damaged_line(tmp_path: Path) -> None:
    ids: list[str] = []

    async def first(service: OpenWhisk) -> None:
        guest = service.add_namespace("guest")
        action = await put(service, "guest", "a")
        for _ in range(2):
            activation = service.invoke(action, guest, {}, "t")
            await activation.answered
            ids.append(activation.id)
            await until(partial(service.journal.record, "guest", activation.id))

    async def second(service: OpenWhisk) -> None:
        assert [service.journal.record("guest", one) is None for one in ids] == [True, False]
        summaries = {one: service.journal.summary(entry) for one, entry in service.journal.newest("guest")}
        assert [summaries[one] is None for one in ids] == [True, False]
        guest = service.add_namespace("guest")
        again = service.invoke(service.action("guest", "a"), guest, {}, "t")
        await again.answered
        await until(lambda: service.journal.record("guest", again.id))

    asyncio.run(serving(tmp_path, first))
    newest = max((tmp_path / "activations").iterdir())
    damaged = newest.read_bytes().replace(b'"finished":{', b'"finished":[', 1)
    newest.write_bytes(damaged + b'{"id":"' + b"0" * 32 + b'","logs":["of nobody"]}\nnot json\n{"id":"12')
    asyncio.run(serving(tmp_path, second))
    asyncio.run(serving(tmp_path, second))
