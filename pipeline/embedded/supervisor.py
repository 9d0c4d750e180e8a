"""The supervised process of embedded servers: OpenWhisk and stores unless they are elsewhere, forwarders, control API.

Everything that it keeps lies in its state folder, so that one started after a kill goes on with the same ports, keys,
actions and finished activations. It ends by /stop, by SIGTERM, or when nobody has asked for anything for a while.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.embedded import upstreams
from pipeline.embedded.contract import Forward, Forwarded, InvocationKey, Invoked, Invoking, Pool, Reach, Usage
from pipeline.embedded.control import Control
from pipeline.embedded.elsewhere import ISOLATION, UNENFORCED, Elsewhere
from pipeline.embedded.forwarders import Forwarders
from pipeline.embedded.guest import guest_reach, named
from pipeline.embedded.invocations import Invocations, inside, outside
from pipeline.embedded.makers import Makers
from pipeline.embedded.openwhisk.server import OpenWhisk
from pipeline.embedded.openwhisk.settings import Settings, default_pool_mb
from pipeline.embedded.processes import recorded
from pipeline.embedded.reaping import end_children, note_child
from pipeline.embedded.sandbox.probe import probe
from pipeline.embedded.settings import (
    EmbeddedSettings,
    OpenWhiskAccess,
    Ready,
    StoreKeys,
    read_kept,
    write_private,
)
from pipeline.embedded.sockets import remove_socket_folder, socket_folder, tcp_listener
from pipeline.embedded.state import State
from pipeline.embedded.store import Store
from pipeline.embedded.upstreams import Upstream
from pipeline.embedded.usage_book import UsageBook
from pipeline.errors import InfrastructureError, PipelineError
from pipeline.files import write_json

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
STORES = ("course", "run")
KEEP_S = 0.5
Reaches = TypeAdapter(list[Reach])


class Supervisor:
    """One process of servers. The caller holds the state folder's lock."""

    def __init__(self, state: State, settings: EmbeddedSettings) -> None:
        self.state = state
        self.settings = settings
        self.stopping = asyncio.Event()
        self.sockets = socket_folder(state.folder)
        self.kept = read_kept(state.kept_file).with_keys(*STORES)
        self.stores = {} if settings.store else {name: self.make_store(name) for name in STORES}
        self.isolation, self.unenforced = ISOLATION, UNENFORCED
        self.openwhisk: OpenWhisk | Elsewhere
        self.access: OpenWhiskAccess
        self.forwarders = Forwarders(state.forwarders_file, self.sockets, self.upstreams())
        self.invocations = Invocations(state.invocations_file, self.sockets)
        self.book = UsageBook(state.folder / "usage.jsonl")
        self.reaches: dict[tuple[str, str], Reach] = {}
        self.control = Control(self)

    def make_store(self, name: str) -> Store:
        asked = self.settings.store_port if name == "course" else 0
        listener = listen(asked, self.kept.ports.get(name, 0))
        folder = self.state.store / name
        return Store(name, folder, listener, self.kept.keys[name], lambda pid, what: note_child(self.state, pid, what))

    def upstreams(self) -> dict[str, Upstream]:
        there = self.settings.store
        if there is not None:
            return dict.fromkeys(STORES, upstreams.elsewhere(there))
        return {name: upstreams.embedded(store) for name, store in self.stores.items()}

    async def run(self) -> None:
        """Serves until it is told to stop; all that it started is ended when this returns."""
        async with AsyncExitStack() as stack:
            for store in self.stores.values():
                stack.push_async_callback(store.stop)
            # the maker asks for the probe's answer, which is kept: it is found while the stores start
            probing = asyncio.to_thread(probe) if self.settings.outside is None else asyncio.sleep(0)
            await asyncio.gather(*(store.start() for store in self.stores.values()), probing)
            await self.start_openwhisk(stack)
            stack.push_async_callback(self.forwarders.stop)
            await self.forwarders.start()
            stack.push_async_callback(self.invocations.stop)
            there = self.settings.outside
            await self.invocations.start(inside(self.access) if there is None else outside(there))
            await self.reach_again()
            inside_guest = await self.reach_as_guest() if self.settings.guest else {}
            stack.push_async_callback(self.control.close)
            await self.control.serve(self.sockets / "control.sock")
            stack.callback(self.state.ready_file.unlink, missing_ok=True)
            self.write_ready(inside_guest)
            await self.serve_until_stopped()
        log.info("stopped")

    async def start_openwhisk(self, stack: AsyncExitStack) -> None:
        """The embedded one with its containers; or what stands for one that is elsewhere."""
        there = self.settings.outside
        if there is not None:
            self.openwhisk = Elsewhere(there, self.state.outside_file)
            self.access = OpenWhiskAccess(apihost=there.apihost, auth="")
            stack.push_async_callback(self.openwhisk.stop)
            return
        makers = Makers(self.state, self.sockets, self.settings)
        self.isolation, self.unenforced = makers.isolation, makers.unenforced
        asked = openwhisk_settings(self.settings, makers.containers)
        service = self.openwhisk = OpenWhisk(self.state.openwhisk, makers.maker, asked)
        stack.push_async_callback(makers.close)
        stack.push_async_callback(service.stop)
        await service.start()
        port = await self.serve_openwhisk(service)
        self.kept = self.kept.model_copy(update={"openwhisk_port": port})
        namespace = service.add_namespace(self.settings.namespace)
        self.access = OpenWhiskAccess(apihost=f"http://{HOST}:{port}", auth=namespace.auth)

    async def serve_openwhisk(self, service: OpenWhisk) -> int:
        """On the port asked for, else on the one of before, else on a free one."""
        asked, before = self.settings.openwhisk_port, self.kept.openwhisk_port
        try:
            return await service.serve(HOST, asked or before)
        except OSError as error:
            if asked:
                raise InfrastructureError(
                    f"cannot listen on {HOST}:{asked}: {error.strerror}", hint="name another port, or 0 for a free one"
                ) from error
            return await service.serve(HOST, 0)

    def write_ready(self, inside_guest: dict[str, str]) -> None:
        """Keeps ports and keys first: what is announced must be the same after a kill."""
        ports = {name: store.address[1] for name, store in self.stores.items()}
        self.kept = self.kept.model_copy(update={"ports": ports})
        write_private(self.state.kept_file, self.kept)
        me = recorded(os.getpid())
        assert me is not None, "this process runs"
        ready = Ready(
            pid=me.pid,
            started=me.started,
            state=self.state.folder,
            control=self.sockets / "control.sock",
            namespace=self.settings.namespace,
            openwhisk=self.access,
            store=self.keys_of("course"),
            run_store=self.keys_of("run"),
            isolation=self.isolation,
            unenforced=self.unenforced,
            inside=inside_guest,
        )
        write_private(self.state.ready_file, ready)
        there = self.settings.store.url if self.settings.store else ports
        log.info("ready: OpenWhisk at %s, stores: %s", self.access.apihost, there)

    def keys_of(self, name: str) -> StoreKeys | None:
        if name not in self.stores:
            return None
        access, secret = self.kept.keys[name]
        return StoreKeys(endpoint=self.stores[name].endpoint, access_key=access, secret_key=secret)

    async def serve_until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        while not self.stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), KEEP_S)
            self.keep()
            if self.is_idle():
                log.info("idle for %.0f s", self.settings.idle_s)
                return

    def keep(self) -> None:
        """Writes down what a kill would lose: figures of activations that have ended, counts of forwarders."""
        for namespace in {self.settings.namespace, *(name for name, _ in self.reaches)}:
            self.book.add(namespace, self.openwhisk.usage(namespace))
        self.forwarders.save()
        self.invocations.save()

    def is_idle(self) -> bool:
        quiet = not self.openwhisk.in_use and self.control.idle_s > self.settings.idle_s
        return bool(self.settings.idle_s) and quiet

    async def reach_again(self) -> None:
        """What an action reached before a kill it reaches again, as far as the services are still there."""
        try:
            before = Reaches.validate_json(self.state.reach_file.read_bytes())
        except (FileNotFoundError, ValidationError, json.JSONDecodeError):
            return
        for reach in before:
            try:
                await self.set_reach(reach)
            except (PipelineError, OSError) as error:
                log.warning("%s reaches nothing now: %s", reach.action, error)

    async def reach_as_guest(self) -> dict[str, str]:
        """Where containers reach OpenWhisk's API, the store and what was named, by these names."""
        apihost, store = self.access.apihost.removeprefix("http://"), self.stores["course"].endpoint
        reach = guest_reach(self.settings.namespace, apihost, store, self.settings.reach)
        return named(await self.set_reach(reach), self.settings.reach)

    def status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "stores": {name: {"endpoint": one.endpoint, "restarts": one.restarts} for name, one in self.stores.items()},
            "pool": self.openwhisk.pool().model_dump(mode="json"),
            "isolation": self.isolation,
        }

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        addresses = await self.openwhisk.set_reach(reach)
        self.reaches[reach.namespace, reach.action] = reach
        values = [one.model_dump(mode="json") for one in self.reaches.values()]
        write_json(self.state.reach_file, values, mode=0o600)
        return addresses

    async def open_forwarder(self, forward: Forward) -> Path:
        return await self.forwarders.open(forward)

    def forwarder_counts(self, name: str) -> Forwarded:
        return self.forwarders.counts(name)

    async def close_forwarder(self, name: str) -> None:
        await self.forwarders.close(name)

    async def open_invocations(self, rule: Invoking) -> InvocationKey:
        return await self.invocations.open(rule)

    def invoked(self, name: str) -> Invoked:
        return self.invocations.invoked(name)

    async def close_invocations(self, name: str) -> None:
        await self.invocations.close(name)

    def usage(self, namespace: str) -> list[Usage]:
        self.book.add(namespace, self.openwhisk.usage(namespace))
        return self.book.of(namespace)

    def pool(self) -> Pool:
        return self.openwhisk.pool()

    async def cancel(self, namespace: str) -> int:
        return await self.openwhisk.cancel(namespace)

    def stop(self) -> None:
        self.stopping.set()


def openwhisk_settings(settings: EmbeddedSettings, containers: int | None) -> Settings:
    return Settings(
        pool_mb=settings.pool_mb or default_pool_mb(),
        containers=containers,
        prewarmed=settings.prewarmed,
        prewarmed_mb=settings.prewarmed_mb,
        invocations_per_minute=settings.per_minute,
        concurrent_invocations=settings.concurrent,
    )


def listen(asked: int, before: int) -> socket.socket:
    """The port asked for, else the one of before, else, where that is another's now, a free one."""
    if asked:
        return tcp_listener(HOST, asked)
    try:
        return tcp_listener(HOST, before)
    except InfrastructureError:
        return tcp_listener(HOST, 0)


def supervise(state: State, settings: EmbeddedSettings) -> None:
    """Ends what a killed supervisor left in the folder, then serves until stopped."""
    left = end_children(state)
    if left:
        log.warning("ended what a killed one had left: %s", ", ".join(left))
    state.ready_file.unlink(missing_ok=True)

    async def serve() -> None:
        await Supervisor(state, settings).run()

    try:
        asyncio.run(serve())
    finally:
        remove_socket_folder(state.folder)
