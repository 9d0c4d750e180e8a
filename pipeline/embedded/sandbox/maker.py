"""Makes containers out of processes: bubblewrap where the probe shows that it works, else what there is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from pipeline.embedded.contract import CODE_IMAGE, EVERY_ACTION, ProcessImage, Reach, Service
from pipeline.embedded.openwhisk.containers import ContainerSpec, NoContainerError, NoImageError
from pipeline.embedded.sandbox.cgroups import Cgroup, make_cgroup
from pipeline.embedded.sandbox.container import ProcessContainer
from pipeline.embedded.sandbox.descriptors import filter_descriptor, listener_at, stands
from pipeline.embedded.sandbox.launch import bubblewrapped, reduced
from pipeline.embedded.sandbox.leftovers import remove_leftovers
from pipeline.embedded.sandbox.listeners import OPEN_TO_ALL, Listeners
from pipeline.embedded.sandbox.planning import Given, plan
from pipeline.embedded.sandbox.probe import make_stage, probe, tasks_are_countable
from pipeline.embedded.sandbox.users import NoUserError, User, take_user
from pipeline.embedded.sandbox.watch import Bounds, Watch
from pipeline.settings import Isolation

LOOK_S = 0.1
STAND_S = 60.0
THREADS, THREADS_EACH = 64, 2
"""Of one container, and more for each process that it may have: the limit is on the sum over its processes."""


class ProcessMaker:
    """Implements `ContainerMaker`.

    `image_file` gives the manifest's path of a reference; `sockets` is a folder of ours whose path is short; `note`
    writes a process down so that a later supervisor ends it should this one be killed.
    """

    def __init__(self, image_file: Callable[[str], Path], sockets: Path, note: Callable[[int, str], None]) -> None:
        self.image_file = image_file
        self.sockets = sockets
        self.note = note
        self.level = probe()
        self.apart = self.level.isolation is Isolation.NAMESPACES
        self.countable = tasks_are_countable(apart=self.apart)
        self.containers: dict[str, ProcessContainer] = {}
        self.users: set[int] = set()
        self.reaches: dict[tuple[str, str], Reach] = {}
        self.listeners = Listeners(sockets)
        self.watching: asyncio.Task[None] | None = None
        remove_leftovers()

    async def available(self) -> str:
        return "" if self.level.isolation.rank >= Isolation.REDUCED.rank else "no process sandbox works here"

    async def create(self, spec: ContainerSpec) -> ProcessContainer:
        """Returns when the sandbox stands and its program begins: what fails before is never the student's fault."""
        image = self.image(spec.image or CODE_IMAGE)
        reach = self.reach(spec)
        if self.watching is None:
            self.watching = asyncio.create_task(self.watch())
        started, told = os.pipe()
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, started)
            container = await self.whole(asyncio.create_task(self.begun(spec, image, reach, told)))
            try:
                stood = await stands(started, STAND_S)
                said = "" if stood else " ".join(line.text for line in await container.logs(1.0))
            except BaseException as error:
                await container.gone()
                if isinstance(error, TimeoutError):
                    raise NoContainerError(f"the sandbox was not made within {STAND_S:g} s") from None
                raise
            if not stood:
                await container.gone()
                raise NoContainerError(f"the sandbox could not be made: {said or 'it ended without a word'}")
        return container

    async def whole(self, begun: asyncio.Task[ProcessContainer]) -> ProcessContainer:
        """Cancelled, it first lets the beginning come to its end: half a sandbox cannot be found and ended."""
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            with contextlib.suppress(NoContainerError):
                await (await begun).gone()
            raise

    async def begun(self, spec: ContainerSpec, image: ProcessImage, reach: Reach, told: int) -> ProcessContainer:
        """Makes what belongs to the container and starts it; what fails leaves nothing."""
        tasks = THREADS + THREADS_EACH * reach.processes
        path = self.sockets / f"act-{spec.name[-24:]}"
        with contextlib.ExitStack() as passed, contextlib.ExitStack() as failed:
            passed.callback(os.close, told)
            try:
                listener = passed.enter_context(listener_at(path))
                failed.callback(path.unlink, missing_ok=True)
                calls = filter_descriptor() if self.apart else None
                if calls is not None:
                    passed.callback(os.close, calls)
                user = self.take_user()
                if user is not None:
                    failed.callback(self.free_user, user)
                stage = make_stage() if self.apart and user is not None else None
                if stage is not None:
                    failed.callback(stage.rmdir)
                cgroup = make_cgroup(spec.name, spec.memory_mb, tasks)
                if cgroup is not None:
                    failed.callback(cgroup.remove)
                given = Given(listener.fileno(), told, calls, user.number if user else None, stage, cgroup)
                counted = tasks if self.countable else 0
                made = plan(spec, image, reach.services, given, tasks=counted, apart=self.apart)
                command = bubblewrapped(made) if self.apart else reduced(made)
                open_ones = (listener.fileno(), told) if calls is None else (listener.fileno(), told, calls)
                process = await start(command, open_ones)
            except OSError as error:
                raise NoContainerError(f"no process could be started: {error.strerror}") from error
            self.note(process.pid, f"container {spec.name}")
            # the control group is removed by the container itself, once it is empty
            freed = [lambda: path.unlink(missing_ok=True)]
            if user is not None:
                freed.append(lambda: self.free_user(user))
            if stage is not None:
                freed.append(stage.rmdir)
            failed.pop_all()
        bounds = Bounds(spec.memory_mb, reach.processes, self.ours(reach.services))
        return self.contain(spec, process, path, cgroup, freed, bounds)

    def contain(
        self,
        spec: ContainerSpec,
        process: asyncio.subprocess.Process,
        path: Path,
        cgroup: Cgroup | None,
        freed: list[Callable[[], None]],
        bounds: Bounds,
    ) -> ProcessContainer:
        watch = Watch(spec.name, process.pid, bounds, cgroup, apart=self.apart)

        def free() -> None:
            self.containers.pop(spec.name, None)
            for one in freed:
                with contextlib.suppress(OSError):
                    one()

        container = ProcessContainer(spec.name, process, path, watch, cgroup, free)
        self.containers[spec.name] = container
        return container

    def ours(self, services: tuple[Service, ...]) -> int:
        """bubblewrap, its first process inside, and the relay where there is one; or confine.py."""
        if not self.apart:
            return 1
        return 3 if services else 2

    def take_user(self) -> User | None:
        """A uid that no other container on this machine has; None where we cannot become another user."""
        if os.geteuid() != 0:
            return None
        try:
            user = take_user()
        except NoUserError as error:
            raise NoContainerError(str(error)) from error
        self.users.add(user.number)
        return user

    def free_user(self, user: User) -> None:
        self.users.discard(user.number)
        user.free()

    def image(self, reference: str) -> ProcessImage:
        try:
            return ProcessImage.model_validate_json(self.image_file(reference).read_bytes())
        except (OSError, ValidationError) as error:
            raise NoImageError(f"there is no image {reference}") from error

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        """What containers made from now on reach; those that are there keep what they have."""
        if not self.apart:
            self.reaches[reach.namespace, reach.action] = reach
            return {service.name: await self.listeners.port(service) for service in reach.services}
        services = tuple([await self.listeners.with_socket(service) for service in reach.services])
        self.reaches[reach.namespace, reach.action] = reach.model_copy(update={"services": services})
        for service in services:
            with contextlib.suppress(FileNotFoundError):
                if service.socket is not None:
                    service.socket.chmod(OPEN_TO_ALL)
        return {service.name: f"127.0.0.1:{service.port}" for service in services}

    def reach(self, spec: ContainerSpec) -> Reach:
        """The action's own, else the namespace's."""
        found = self.reaches.get((spec.namespace, spec.action)) or self.reaches.get((spec.namespace, EVERY_ACTION))
        return found or Reach(namespace=spec.namespace, action=spec.action, services=())

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for container in list(self.containers.values()):
                container.check()

    async def close(self) -> None:
        if self.watching is not None:
            self.watching.cancel()
        await asyncio.gather(*(container.gone() for container in list(self.containers.values())))
        await self.listeners.close()


async def start(command: list[str], descriptors: tuple[int, ...]) -> asyncio.subprocess.Process:
    """With these descriptors and nothing else of ours open, and no variable of ours to be seen."""
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        cwd="/",
        pass_fds=descriptors,
        start_new_session=True,
    )
