"""The embedded OpenWhisk: one object that holds its state and serves its REST API."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path

from aiohttp import web

from pipeline.embedded.contract import API_SERVICE, Pool, QueueEntry, Reach, Usage
from pipeline.embedded.openwhisk.actions import Action, ActionChange, created, updated
from pipeline.embedded.openwhisk.activation import Activation
from pipeline.embedded.openwhisk.activations import Journal
from pipeline.embedded.openwhisk.api import create_app
from pipeline.embedded.openwhisk.containers import ContainerMaker
from pipeline.embedded.openwhisk.errors import ALREADY_EXISTS, ApiError, no_such_entity
from pipeline.embedded.openwhisk.invoker import Invoker
from pipeline.embedded.openwhisk.namespaces import Namespace, Namespaces, Throttle
from pipeline.embedded.openwhisk.pool import MemoryPool
from pipeline.embedded.openwhisk.settings import Settings
from pipeline.files import sync_folder, write_json

SWEEP_S = 1.0
LONGEST_HEADER = 65_536


class OpenWhisk:
    """An OpenWhisk whose state lies in one folder. `start` before anything else, `stop` at the end."""

    def __init__(self, state: Path, maker: ContainerMaker, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.namespaces = Namespaces(state / "keys.json")
        self.journal = Journal(state / "activations", self.settings.keep)
        self.throttle = Throttle(self.settings)
        self._actions_folder = state / "actions"
        self._actions: dict[str, dict[str, Action]] = {}
        self._writing = asyncio.Lock()
        self._maker = maker
        self._pool = MemoryPool(self.settings, self._is_current)
        self._invoker = Invoker(self.settings, self._pool, self.journal, maker)
        self._runners: list[web.AppRunner] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads the state; what a former process left running is recorded as an internal error."""
        self.namespaces.open()
        for file in sorted(self._actions_folder.glob("*/*.json")):
            action = Action.from_json(json.loads(file.read_bytes()))
            self._actions.setdefault(action.namespace, {})[action.name] = action
        for lost in self.journal.open():
            self._invoker.recover(lost)
        self._sweeper = asyncio.create_task(self._sweep())

    async def serve(self, host: str, port: int) -> int:
        """Serves the REST API; the port, which is chosen where 0 was given. Raises OSError where it is taken."""
        runner = web.AppRunner(create_app(self), access_log=None, max_field_size=LONGEST_HEADER)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runners.append(runner)
        port = runner.addresses[0][1]
        self._invoker.apihost = self._invoker.apihost or f"http://{host}:{port}"
        return port

    async def stop(self) -> None:
        """Ends containers, activations and listeners. What was running is recorded as an internal error."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._invoker.close()
        await self._pool.close()
        for runner in self._runners:
            await runner.cleanup()
        await self.journal.close()

    def actions(self, namespace: str) -> list[Action]:
        """The actions of a namespace, the latest updated first."""
        return sorted(self._actions.get(namespace, {}).values(), key=lambda one: one.updated, reverse=True)

    def action(self, namespace: str, name: str) -> Action:
        """Raises ApiError (404) where there is none."""
        try:
            return self._actions[namespace][name]
        except KeyError:
            raise no_such_entity() from None

    async def put_action(self, namespace: str, name: str, change: ActionChange, *, overwrite: bool) -> Action:
        """Makes or changes an action; it is on disk when this returns. Raises ApiError."""
        async with self._writing:
            old = self._actions.get(namespace, {}).get(name)
            if old is None:
                action = created(namespace, name, change, self.settings)
            elif overwrite:
                action = updated(old, change, self.settings)
            else:
                raise ApiError(409, ALREADY_EXISTS)
            await asyncio.to_thread(write_json, self._file(action), action.to_json(), mode=0o600)
            self._actions.setdefault(namespace, {})[name] = action
            if old is not None:
                self._pool.retire(old)
            return action

    async def delete_action(self, namespace: str, name: str) -> Action:
        """A running activation of it ends undisturbed. Raises ApiError (404)."""
        async with self._writing:
            action = self.action(namespace, name)
            file = self._file(action)
            await asyncio.to_thread(file.unlink, missing_ok=True)
            await asyncio.to_thread(sync_folder, file.parent)
            del self._actions[namespace][name]
            self._pool.retire(action)
            return action

    def invoke(self, action: Action, namespace: Namespace, payload: dict[str, object], transaction: str) -> Activation:
        """Accepts an activation, without asking the throttles."""
        self.throttle.started(namespace.name)
        activation = self._invoker.accept(action, namespace, payload, transaction)
        activation.answered.add_done_callback(lambda _: self.throttle.ended(namespace.name))
        return activation

    async def cancel(self, namespace: str, actions: Collection[str] | None = None) -> int:
        """Ends waiting and running activations of these actions, of all where none are named; how many."""
        return await self._invoker.cancel(namespace, actions)

    def add_namespace(self, name: str, *, invocations: int | None = None, auth: str | None = None) -> Namespace:
        """Makes a namespace with a key; the one of that name gets the new cap. `invocations`: all it may start."""
        return self.namespaces.add(name, invocations=invocations, auth=auth)

    async def remove_namespace(self, name: str) -> None:
        """Takes the key back, ends what runs and deletes the actions. Harmless where there is none."""
        self.namespaces.remove(name)
        await self.cancel(name)
        for action in self.actions(name):
            await self.delete_action(name, action.name)

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        """What containers of one action reach; service -> the host:port to use inside them.

        Those that there are have the sockets of before, and are not used again.
        """
        addresses = await self._maker.set_reach(reach)
        if API_SERVICE in addresses:
            self._invoker.apihosts[reach.namespace, reach.action] = f"http://{addresses[API_SERVICE]}"
        action = self._actions.get(reach.namespace, {}).get(reach.action)
        if action is not None:
            self._pool.retire(action)
        return addresses

    def usage(self, namespace: str) -> Sequence[Usage]:
        """What activations of a namespace used, measured from outside; of this process's time."""
        return self._invoker.usages(namespace)

    def pool(self) -> Pool:
        return self._pool.view()

    @property
    def in_use(self) -> bool:
        """Whether an activation runs or waits."""
        pool = self._pool.view()
        return pool.busy_mb > 0 or bool(pool.queue)

    @property
    def queue(self) -> tuple[QueueEntry, ...]:
        return self._pool.view().queue

    def fits(self, action: Action) -> bool:
        """Whether the pool could ever hold the action's container."""
        return self._pool.fits(action)

    def _is_current(self, action: Action) -> bool:
        now = self._actions.get(action.namespace, {}).get(action.name)
        return now is not None and now.revision == action.revision

    def _file(self, action: Action) -> Path:
        # an action's name may be longer than a file's
        name = hashlib.sha256(action.name.encode()).hexdigest()
        return self._actions_folder / hashlib.sha256(action.namespace.encode()).hexdigest()[:32] / f"{name}.json"

    async def _sweep(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(min(SWEEP_S, self.settings.idle_s, self.settings.pause_s))
                self._pool.remove_idle(self.settings.idle_s)
                self._pool.pause_idle(self.settings.pause_s)
