"""The memory pool: who may have a container now, and who waits, visibly, first in first out.

A container takes its action's memory from the moment it is decided on until its processes are gone. Prewarmed
containers of the real server take their part for nothing that this server needs; the part is kept taken, because
runs are planned for pools that have them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pipeline.embedded.contract import Pool, QueueEntry
from pipeline.embedded.openwhisk.actions import Action
from pipeline.embedded.openwhisk.containers import Container, NoContainerError
from pipeline.embedded.openwhisk.settings import Settings

log = logging.getLogger(__name__)

DRAINING_IS_SOON_S = 0.25


@dataclass(eq=False)
class Slot:
    """A place in the pool for one container of one revision of an action."""

    action: Action
    name: str
    state: str = "busy"
    """busy, draining (answered, its logs are still read), idle, removing"""
    container: Container | None = None
    initialised: bool = False
    ends_logs: bool | None = None
    """whether it was seen to end its logs with the sentinel"""
    retired: bool = False
    """not to be used again, whatever its activation comes to"""
    pausing: asyncio.Task[None] | None = None
    """the container is being paused, or is"""
    since: float = field(default_factory=time.monotonic)

    @property
    def memory_mb(self) -> int:
        return self.action.limits.memory

    def change(self, state: str) -> None:
        self.state, self.since = state, time.monotonic()

    async def ready(self) -> Container | None:
        """The container, made to go on where it was paused; None where there is none that can be used.

        One that has ended while it was idle, or does not go on, is taken away: the place stays, for another one.
        """
        container, pausing = self.container, self.pausing
        if container is None:
            return None
        self.pausing = None
        try:
            if pausing is not None:
                await asyncio.shield(pausing)
                await container.resume()
            if await container.exited() is None:
                return container
        except NoContainerError as error:
            log.warning("%s; another container is made", error)
        await container.stop()
        self.container, self.initialised, self.ends_logs = None, False, None
        self.name = f"{self.name.partition('_')[0]}_{secrets.token_hex(4)}"
        return None


@dataclass(eq=False)
class Ticket:
    """An activation that asks for a slot."""

    activation: str
    action: Action
    granted: asyncio.Future[Slot]
    since: float = field(default_factory=time.monotonic)


class MemoryPool:
    """Grants slots. All of it runs in one event loop; nothing here waits for a container."""

    def __init__(self, settings: Settings, is_current: Callable[[Action], bool]) -> None:
        self._settings = settings
        self._is_current = is_current
        self._reserved = settings.prewarmed * settings.prewarmed_mb
        self._slots: set[Slot] = set()
        self._queue: list[Ticket] = []
        self._stopping: set[asyncio.Task[None]] = set()
        self._count = itertools.count(1)

    def fits(self, action: Action) -> bool:
        """Whether the pool could ever hold a container of the action."""
        return action.limits.memory <= self._settings.pool_mb - self._reserved

    async def acquire(self, activation: str, action: Action) -> Slot:
        """A warm slot or a new one, now or when there is room."""
        ticket = Ticket(activation, action, asyncio.get_running_loop().create_future())
        self._queue.append(ticket)
        self._grant()
        try:
            return await ticket.granted
        except asyncio.CancelledError:
            if ticket in self._queue:
                self._queue.remove(ticket)
            elif not ticket.granted.cancelled():
                self.release(ticket.granted.result(), keep=False)
            self._grant()
            raise

    def drain(self, slot: Slot) -> None:
        """The slot's activation is answered; its container will be free when its logs are read."""
        slot.change("draining")

    def release(self, slot: Slot, *, keep: bool) -> None:
        """Gives a slot back, its container to be used again or to be ended."""
        if keep and not slot.retired and self._is_current(slot.action):
            slot.change("idle")
        else:
            self._remove(slot)
        self._grant()

    def retire(self, action: Action) -> None:
        """What the revision's containers are is no longer so: idle ones end now, a busy one when it is free."""
        for slot in [one for one in self._slots if one.action.revision == action.revision]:
            slot.retired = True
            if slot.state == "idle":
                self._remove(slot)

    def remove_idle(self, older_than_s: float) -> None:
        now = time.monotonic()
        for slot in [one for one in self._slots if one.state == "idle" and now - one.since > older_than_s]:
            self._remove(slot)

    def pause_idle(self, older_than_s: float) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.state == "idle" and slot.pausing is None and slot.container and now - slot.since > older_than_s:
                slot.pausing = asyncio.create_task(slot.container.pause())

    async def close(self) -> None:
        """Ends every container."""
        for slot in [one for one in self._slots if one.state != "removing"]:
            self._remove(slot)
        while self._stopping:
            await asyncio.wait(self._stopping)

    def view(self) -> Pool:
        idle = sum(one.memory_mb for one in self._slots if one.state == "idle")
        return Pool(
            size_mb=self._settings.pool_mb,
            busy_mb=sum(one.memory_mb for one in self._slots) - idle,
            idle_mb=idle,
            prewarmed_mb=self._reserved,
            containers=len(self._slots),
            queue=tuple(self._entry(place, ticket) for place, ticket in enumerate(self._queue, 1)),
        )

    def _entry(self, place: int, ticket: Ticket) -> QueueEntry:
        action, free = ticket.action, self._free()
        reason = f"needs {action.limits.memory} MB, {free} MB of the pool of {self._settings.pool_mb} MB are free"
        if self._is_full():
            reason = f"there are {len(self._slots)} containers, and no more than that at once"
        elif self._reserved:
            reason += f" ({self._reserved} MB are kept for prewarmed containers)"
        return QueueEntry(
            activation=ticket.activation,
            namespace=action.namespace,
            action=action.name,
            memory_mb=action.limits.memory,
            waiting_s=round(time.monotonic() - ticket.since, 3),
            position=place,
            reason=reason if place == 1 else f"behind {place - 1} others; {reason}",
        )

    def _free(self) -> int:
        return self._settings.pool_mb - self._reserved - sum(one.memory_mb for one in self._slots)

    def _is_full(self) -> bool:
        return self._settings.containers is not None and len(self._slots) >= self._settings.containers

    def _grant(self) -> None:
        """Serves the queue's head as long as it can be served; who comes later never overtakes."""
        while self._queue:
            if self._queue[0].granted.cancelled():
                self._queue.pop(0)
                continue
            slot = self._slot_for(self._queue[0].action)
            if slot is None:
                return
            ticket = self._queue.pop(0)
            slot.change("busy")
            ticket.granted.set_result(slot)

    def _slot_for(self, action: Action) -> Slot | None:
        own = [one for one in self._slots if one.action.revision == action.revision and not one.retired]
        warm = max((one for one in own if one.state == "idle"), key=lambda one: one.since, default=None)
        if warm is not None:
            return warm
        draining = min((one.since for one in own if one.state == "draining"), default=None)
        if draining is not None and (left := draining + DRAINING_IS_SOON_S - time.monotonic()) > 0:
            asyncio.get_running_loop().call_later(left + 0.01, self._grant)
            return None
        if not self._make_room(action.limits.memory):
            return None
        slot = Slot(action, f"wsk{next(self._count)}_{secrets.token_hex(4)}")
        self._slots.add(slot)
        return slot

    def _make_room(self, memory_mb: int) -> bool:
        """Whether there is room; where idle containers are in the way, the longest idle of them end first.

        One that is on its way out still has its memory, and its place among the containers that there may be.
        """
        coming = sum(one.memory_mb for one in self._slots if one.state == "removing")
        idle = sorted((one for one in self._slots if one.state == "idle"), key=lambda one: one.since)
        missing = memory_mb - self._free() - coming
        places = 1 if self._is_full() and not any(one.state == "removing" for one in self._slots) else 0
        if missing > sum(one.memory_mb for one in idle) or places > len(idle):
            return False
        for slot in idle:
            if missing <= 0 and places <= 0:
                break
            missing -= slot.memory_mb
            places -= 1
            self._remove(slot)
        return self._free() >= memory_mb and not self._is_full()

    def _remove(self, slot: Slot) -> None:
        slot.change("removing")
        if slot.container is None:
            self._slots.discard(slot)
            return
        task = asyncio.create_task(self._stop(slot, slot.container.stop()))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stop(self, slot: Slot, stop: Coroutine[Any, Any, None]) -> None:
        try:
            await stop
        finally:
            self._slots.discard(slot)
            self._grant()
