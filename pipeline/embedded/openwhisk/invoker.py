"""Runs activations: a slot of the pool, a container, /init, /run, the answer, then the logs. None is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Collection
from typing import Any

from pipeline.embedded.contract import EVERY_ACTION, Usage
from pipeline.embedded.openwhisk import outcomes
from pipeline.embedded.openwhisk.actions import Action
from pipeline.embedded.openwhisk.activation import (
    Activation,
    accepted_record,
    final_record,
    init_body,
    now_ms,
    run_body,
)
from pipeline.embedded.openwhisk.activations import Journal, Record, logs_line
from pipeline.embedded.openwhisk.containers import (
    Container,
    ContainerMaker,
    ContainerSpec,
    NoContainerError,
    NoImageError,
    NoReplyError,
    NoReplyInTimeError,
)
from pipeline.embedded.openwhisk.logs import LogLine
from pipeline.embedded.openwhisk.namespaces import Namespace
from pipeline.embedded.openwhisk.outcomes import Outcome
from pipeline.embedded.openwhisk.pool import MemoryPool, Slot
from pipeline.embedded.openwhisk.settings import MB, Settings

log = logging.getLogger(__name__)

MISSING_LOGS = "The action did not initialize or run as expected. Log data might be missing."
END_KNOWN_S = 0.2
KEPT_USAGES = 10_000


class Invoker:
    """Accepts activations and runs each in a task of its own."""

    def __init__(self, settings: Settings, pool: MemoryPool, journal: Journal, maker: ContainerMaker) -> None:
        self._settings, self._pool, self._journal, self._maker = settings, pool, journal, maker
        self._tasks: dict[asyncio.Task[None], Activation] = {}
        self._usages: dict[str, tuple[str, Usage]] = {}
        self.apihost = settings.apihost
        self.apihosts: dict[tuple[str, str], str] = {}

    def accept(self, action: Action, namespace: Namespace, payload: dict[str, Any], transaction: str) -> Activation:
        """Starts an activation; it is on disk when this returns, and its record will be."""
        answered = asyncio.get_running_loop().create_future()
        activation = Activation(uuid.uuid4().hex, action, namespace, transaction, payload, answered)
        self._journal.accept(accepted_record(activation))
        task = asyncio.create_task(self._perform(activation))
        self._tasks[task] = activation
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return activation

    def recover(self, accepted: Record) -> None:
        """Records an activation that a former process of this server did not end."""
        end = max(now_ms(), accepted["start"])
        record = {**accepted, "end": end, "duration": end - accepted["start"], "logs": []}
        record.pop("path")
        self._journal.finish({**record, "response": outcomes.internal_error(outcomes.LOST).to_json()})
        self._journal.without_logs(accepted["activationId"])

    async def cancel(self, namespace: str, actions: Collection[str] | None = None) -> int:
        """Ends waiting and running activations of these actions, of all where none are named; how many."""
        await self._all_begun()
        found = [
            (task, one)
            for task, one in self._tasks.items()
            if one.action.namespace == namespace
            and not one.answered.done()
            and (actions is None or one.action.name in actions)
        ]
        for task, one in found:
            one.cancelled = True
            if one.slot is None or one.slot.container is None:
                task.cancel()
            else:
                await one.slot.container.stop()
        if found:
            await asyncio.wait([task for task, _ in found])
        return len(found)

    async def close(self) -> None:
        """Ends what runs; it is recorded as lost, as after a kill."""
        await self._all_begun()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _all_begun(self) -> None:
        """A task that is cancelled before its first step would leave no record."""
        await asyncio.sleep(0)

    def usages(self, namespace: str) -> list[Usage]:
        return [usage for owner, usage in self._usages.values() if owner == namespace]

    async def _perform(self, activation: Activation) -> None:
        slot: Slot | None = None
        outcome = outcomes.internal_error(outcomes.INTERNAL)
        try:
            slot = activation.slot = await self._pool.acquire(activation.id, activation.action)
            outcome = await self._run(activation, slot)
        except asyncio.CancelledError:
            outcome = outcomes.internal_error(outcomes.CANCELLED if activation.cancelled else outcomes.LOST)
        except Exception:
            log.exception("activation %s of %s failed in the server", activation.id, activation.action.path)
        if activation.cancelled:
            outcome = outcomes.internal_error(outcomes.CANCELLED)
        try:
            record = self._recorded(activation, outcome)
            if slot is not None:
                self._pool.drain(slot)
            activation.answered.set_result(record)
            await self._collect(activation, slot, outcome)
        finally:
            if slot is not None:
                self._pool.release(slot, keep=outcome.keeps_container and slot.initialised)

    def _recorded(self, activation: Activation, outcome: Outcome) -> Record:
        record = final_record(activation, outcome)
        try:
            self._journal.finish(record)
        except OSError as error:
            # an answer must not say more than what can be read again
            log.exception("the record of activation %s cannot be written", activation.id)
            return final_record(activation, outcomes.internal_error(f"{outcomes.INTERNAL} {error.strerror}"))
        return record

    async def _run(self, activation: Activation, slot: Slot) -> Outcome:
        try:
            container = await slot.ready() or await self._create(activation, slot)
        except NoImageError as error:
            activation.notes.append(str(error))
            return outcomes.developer_error(f"Failed to pull container image '{activation.action.exec.image}'.")
        except NoContainerError as error:
            activation.notes.append(str(error))
            return outcomes.internal_error(outcomes.NO_RESOURCES)
        activation.started = now_ms()
        container.begin(activation.id, activation.action.limits.logs * MB)
        if not slot.initialised:
            failed = await self._request(activation, container, "/init")
            activation.init_ms = now_ms() - activation.started
            if failed is not None:
                return failed
            slot.initialised = True
        outcome = await self._request(activation, container, "/run")
        assert outcome is not None
        return outcome

    async def _create(self, activation: Activation, slot: Slot) -> Container:
        action = activation.action
        slot.container = await self._maker.create(
            ContainerSpec(
                name=slot.name,
                namespace=action.namespace,
                action=action.name,
                version=action.version,
                memory_mb=action.limits.memory,
                image=action.exec.image,
                kind=None if action.exec.image else action.exec.kind,
                variables={"__OW_API_HOST": self._apihost_inside(action)},
            )
        )
        return slot.container

    def _apihost_inside(self, action: Action) -> str:
        """As the action's containers reach it, where they may."""
        own, all_actions = (action.namespace, action.name), (action.namespace, EVERY_ACTION)
        return self.apihosts.get(own) or self.apihosts.get(all_actions) or self.apihost

    async def _request(self, activation: Activation, container: Container, path: str) -> Outcome | None:
        """One of the two requests, each with the action's whole time; None when /init went well."""
        initialising = path == "/init"
        timeout_ms = activation.action.limits.timeout
        body = init_body(activation) if initialising else run_body(activation)
        limit = self._settings.result_bytes
        try:
            reply = await container.request(path, body, timeout_s=timeout_ms / 1000, reply_limit=limit)
        except NoReplyInTimeError:
            return outcomes.out_of_time(timeout_ms, initialising=initialising)
        except NoReplyError:
            return outcomes.ended(await container.exited(END_KNOWN_S), initialising=initialising)
        if initialising:
            return outcomes.of_init(reply, self._settings.json_depth)
        return outcomes.of_run(reply, limit, self._settings.json_depth)

    async def _collect(self, activation: Activation, slot: Slot | None, outcome: Outcome) -> None:
        """Adds the logs and measurements to an activation that is answered already."""
        lines: list[str] = []
        container = slot.container if slot is not None else None
        if slot is not None and container is not None and activation.started:
            lines = [str(line) for line in await self._lines(slot, container, outcome)]
            await self._measure(activation, container, outcome)
        lines += [str(LogLine(time.time_ns(), "stderr", note)) for note in activation.notes]
        if outcome.status is outcomes.Status.DEVELOPER_ERROR and activation.action.limits.logs:
            lines.append(str(LogLine(time.time_ns(), "stderr", MISSING_LOGS)))
        if not lines:
            self._journal.without_logs(activation.id)
        elif len(lines) < 1000:
            self._journal.add_logs(activation.id, logs_line(activation.id, lines))
        else:
            self._journal.add_logs(activation.id, await asyncio.to_thread(logs_line, activation.id, lines))

    async def _lines(self, slot: Slot, container: Container, outcome: Outcome) -> tuple[LogLine, ...]:
        if not outcome.keeps_container:
            # what it still prints is not waited for: it is ended, and then its streams are
            if await container.exited() is None:
                await container.stop()
            return await container.logs(self._settings.first_logs_wait_s)
        wait_s = self._settings.first_logs_wait_s if slot.ends_logs is None else self._settings.logs_wait_s
        if slot.ends_logs is False:
            wait_s = 0.05
        asked = time.monotonic()
        lines = await container.logs(wait_s)
        if slot.ends_logs is None:
            slot.ends_logs = time.monotonic() - asked < wait_s
        return lines

    async def _measure(self, activation: Activation, container: Container, outcome: Outcome) -> None:
        with contextlib.suppress(OSError):
            usage = await container.usage()
            if outcome.timed_out:
                usage = usage.model_copy(update={"killed_for": "time"})
            self._usages[activation.id] = (activation.action.namespace, usage)
        while len(self._usages) > KEPT_USAGES:
            del self._usages[next(iter(self._usages))]
