"""The memory pool with containers that only say what is done to them: pausing, and a bound on their number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from pipeline.embedded.openwhisk.actions import Action, Exec
from pipeline.embedded.openwhisk.containers import Container, ExitState, NoContainerError
from pipeline.embedded.openwhisk.limits import ActionLimits
from pipeline.embedded.openwhisk.pool import MemoryPool, Slot
from pipeline.embedded.openwhisk.settings import Settings


class Told:
    """A container that notes what it is told."""

    def __init__(self, *, resumes: bool = True) -> None:
        self.told: list[str] = []
        self.resumes = resumes
        self.ended = False

    async def pause(self) -> None:
        await asyncio.sleep(0.01)
        self.told.append("pause")

    async def resume(self) -> None:
        self.told.append("resume")
        if not self.resumes:
            raise NoContainerError("it does not go on")

    async def exited(self, wait_s: float = 0.0) -> ExitState | None:
        return ExitState(137) if self.ended else None

    async def stop(self) -> None:
        self.told.append("stop")


def action(name: str = "a") -> Action:
    limits = ActionLimits(memory=128, timeout=60_000, logs=10)
    return Action("guest", name, Exec("blackbox", image="x:1"), "0.0.1", limits, updated=0)


def run(steps: Callable[[MemoryPool], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        pool = MemoryPool(Settings(pool_mb=1024, **settings), lambda _: True)
        await asyncio.wait_for(steps(pool), 30)
        await pool.close()

    asyncio.run(main())


async def used(pool: MemoryPool, container: Told, one: Action) -> Slot:
    """A slot that one activation has had, with this container."""
    slot = await pool.acquire("first", one)
    slot.container, slot.initialised = cast(Container, container), True
    pool.release(slot, keep=True)
    return slot


def test_an_idle_container_is_paused_once_and_goes_on_at_its_next_use() -> None:
    async def steps(pool: MemoryPool) -> None:
        container = Told()
        await used(pool, container, one := action())
        pool.pause_idle(older_than_s=60)
        assert container.told == []
        for _ in range(2):
            pool.pause_idle(older_than_s=-1)
        slot = await pool.acquire("second", one)
        # asked for while it is still being paused
        assert await slot.ready() is container
        assert container.told == ["pause", "resume"]
        pool.release(slot, keep=True)
        slot = await pool.acquire("third", one)
        assert await slot.ready() is container
        assert container.told == ["pause", "resume"]
        pool.release(slot, keep=True)

    run(steps)


def test_a_container_that_does_not_go_on_makes_place_for_another() -> None:
    async def steps(pool: MemoryPool) -> None:
        container = Told(resumes=False)
        slot = await used(pool, container, one := action())
        name = slot.name
        pool.pause_idle(older_than_s=-1)
        again = await pool.acquire("second", one)
        assert again is slot
        assert await again.ready() is None
        assert container.told == ["pause", "resume", "stop"]
        assert (again.initialised, again.container) == (False, None)
        assert again.name != name
        assert pool.view().busy_mb == 128
        pool.release(again, keep=False)

    run(steps)


def test_a_container_that_ended_while_it_was_idle_is_not_used() -> None:
    async def steps(pool: MemoryPool) -> None:
        container = Told()
        await used(pool, container, one := action())
        container.ended = True
        slot = await pool.acquire("second", one)
        assert await slot.ready() is None
        assert container.told == ["stop"]
        pool.release(slot, keep=False)

    run(steps)


def test_no_more_containers_than_there_may_be_and_the_longest_idle_makes_place() -> None:
    async def steps(pool: MemoryPool) -> None:
        idle, busy = Told(), action("busy")
        await used(pool, idle, action("idle"))
        first = await pool.acquire("first", busy)
        second = await pool.acquire("second", busy)
        assert idle.told == ["stop"]
        waiting = asyncio.create_task(pool.acquire("third", busy))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert [one.reason for one in pool.view().queue] == ["there are 2 containers, and no more than that at once"]
        pool.release(first, keep=False)
        pool.release(await waiting, keep=False)
        pool.release(second, keep=False)

    run(steps, containers=2)
