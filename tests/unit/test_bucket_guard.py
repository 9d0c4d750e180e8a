"""What is asked before a student's program puts something into its run's bucket: requests that come at once."""

from __future__ import annotations

import asyncio

from pipeline.embedded.key_order import OVER_OBJECTS, UNDER_AN_OBJECT, KeyOrder
from pipeline.embedded.stored import Quota


class Slow:
    """A store that answers when it is told to, from what it holds then."""

    def __init__(self, **objects: int) -> None:
        self.objects = objects
        self.may_answer = asyncio.Event()
        self.asked = 0

    async def answer(self) -> dict[str, int]:
        self.asked += 1
        found = dict(self.objects)
        await self.may_answer.wait()
        return found

    async def stored(self) -> int:
        return sum((await self.answer()).values())

    async def size(self, key: str) -> int:
        return (await self.answer()).get(key, 0)

    async def holds(self, key: str) -> bool:
        return key in await self.answer()

    async def holds_below(self, key: str) -> bool:
        return any(one.startswith(f"{key}/") for one in await self.answer())


def test_two_at_once_do_not_share_the_room_of_one() -> None:
    async def run() -> None:
        store = Slow(before=50)
        quota = Quota(100, store)
        reserving = [asyncio.create_task(quota.reserve(f"/b/{number}", 30)) for number in range(3)]
        await asyncio.sleep(0)
        store.may_answer.set()
        assert [one is not None for one in await asyncio.gather(*reserving)] == [True, False, False]

    asyncio.run(run())


def test_what_ends_while_the_store_is_asked_is_counted() -> None:
    async def run() -> None:
        store = Slow()
        store.may_answer.set()
        quota = Quota(100, store)
        first = await quota.reserve("/b/1", 60)
        assert first is not None
        store.may_answer.clear()
        asking = asyncio.create_task(quota.reserve("/b/2", 60))
        while store.asked < 2:
            await asyncio.sleep(0)
        quota.settle(first, kept=True)  # after the store looked, before it answered
        store.may_answer.set()
        assert await asking is None

    asyncio.run(run())


def test_what_was_not_kept_and_what_was_deleted_gives_its_room_back() -> None:
    async def run() -> None:
        store = Slow()
        store.may_answer.set()
        quota = Quota(100, store)
        for _ in range(3):
            failed = await quota.reserve("/b/1", 90)
            assert failed is not None
            quota.settle(failed, kept=False)
        kept = await quota.reserve("/b/1", 90)
        assert kept is not None
        quota.settle(kept, kept=True)
        store.objects = {"1": 90}
        assert await quota.reserve("/b/2", 90) is None
        store.objects = {}
        assert await quota.reserve("/b/2", 90) is not None

    asyncio.run(run())


def test_parts_count_until_their_upload_is_given_up() -> None:
    async def run() -> None:
        store = Slow()
        store.may_answer.set()
        quota = Quota(100, store)
        part = await quota.reserve("/b/1", 90, "upload")
        assert part is not None
        quota.settle(part, kept=True)
        assert await quota.reserve("/b/2", 20) is None, "the store lists no parts, and yet they lie there"
        quota.aborted("upload")
        assert await quota.reserve("/b/2", 20) is not None

    asyncio.run(run())


def test_keys_that_begin_one_another_are_not_put_at_the_same_time() -> None:
    async def run() -> None:
        store = Slow()
        order = KeyOrder(store)
        first = asyncio.create_task(order.claim("a/b"))
        await asyncio.sleep(0)
        assert await order.claim("a") == OVER_OBJECTS
        assert await order.claim("a/b/c") == UNDER_AN_OBJECT
        store.may_answer.set()
        assert await first is None
        assert await order.claim("a/b") is None, "the same key may be put twice"
        order.release("a/b")
        order.release("a/b")
        assert await order.claim("a/b/c") is None

    asyncio.run(run())


def test_what_is_no_object_now_may_become_one() -> None:
    async def run() -> None:
        store = Slow()
        store.may_answer.set()
        order = KeyOrder(store)
        assert await order.claim("a/b") is None
        order.release("a/b")
        assert await order.claim("a") is None
        order.release("a")
        store.objects = {"a": 1}
        assert await order.claim("a/b") == UNDER_AN_OBJECT

    asyncio.run(run())
