"""Makes containers with a docker engine: each on its namespace's own network, closed in, named, and owned."""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial

import docker.errors

from pipeline.embedded.contract import CODE_IMAGE, EVERY_ACTION, Reach
from pipeline.embedded.docker import leftovers
from pipeline.embedded.docker.confinement import Room, create
from pipeline.embedded.docker.container import DockerContainer
from pipeline.embedded.docker.endings import Endings
from pipeline.embedded.docker.engine import ENGINE_ERRORS, connect, said, unreachable
from pipeline.embedded.docker.guardian import Guardian
from pipeline.embedded.docker.images import Found, Images, Registry
from pipeline.embedded.docker.measures import UNSEEN, Measures
from pipeline.embedded.docker.networks import Network, Networks
from pipeline.embedded.docker.owner import owner_of
from pipeline.embedded.docker.seats import Seat, Seats
from pipeline.embedded.openwhisk.containers import ContainerSpec, NoContainerError, NoImageError
from pipeline.embedded.openwhisk.settings import default_pool_mb
from pipeline.embedded.settings import EmbeddedSettings
from pipeline.embedded.state import State
from pipeline.errors import PipelineError

LOOK_S = 0.1
PREFIX = "pipeline-"
BLAMES_IMAGE = (400, 404)


class DockerMaker:
    """Implements `ContainerMaker`; made in the event loop that it is used in.

    Raises InfrastructureError where no engine answers, CourseError for a pool of networks that cannot be. What owners
    that have ended left is removed first; should this process be killed, its guardian removes what it leaves.
    """

    def __init__(self, state: State, settings: EmbeddedSettings) -> None:
        self.settings = settings
        self.engine = connect()
        self.owner = owner_of(os.getpid(), state.folder)
        leftovers.sweep(self.engine.client)
        self.networks = Networks(self.engine.client, self.owner, settings.networks, settings.containers)
        self.seats = Seats(self.engine, self.networks, self.owner)
        host = (settings.registry or "").partition("/")[0]
        registry = Registry(host, settings.registry_auth_file) if host else None
        self.images = Images(self.engine, state.image_file, registry)
        self.pool_mb = settings.pool_mb or default_pool_mb()
        self.endings = Endings(self.engine, self.owner.text)
        self.measures = Measures(self.engine)
        self.guardian = Guardian()
        self.reaches: dict[tuple[str, str], Reach] = {}
        self.containers: dict[str, DockerContainer] = {}
        self.watching: asyncio.Task[None] | None = None

    @property
    def most(self) -> int:
        """How many containers there may be at once, of all namespaces: any of their networks has room for these."""
        return self.settings.containers

    @property
    def unenforced(self) -> tuple[str, ...]:
        """What does not hold here, and why."""
        unseen = () if self.measures.seen else (UNSEEN,)
        return (*self.engine.missing(), *self.networks.unenforced(), *unseen)

    async def available(self) -> str:
        try:
            await self.engine.do(self.engine.client.ping)
        except ENGINE_ERRORS as error:
            reason, hint = unreachable(error)
            return f"the docker engine does not answer: {reason} ({hint})"
        return ""

    async def create(self, spec: ContainerSpec) -> DockerContainer:
        """Returns when the engine has started its program."""
        image = await self.images.find(spec.image or CODE_IMAGE, managed=spec.image is None)
        try:
            network = await self.networks.of(spec.namespace)
        except PipelineError as error:
            raise NoContainerError(f"{error.message} ({error.hint})") from error
        if self.watching is None:
            self.watching = asyncio.create_task(self.watch())
        return await self.whole(asyncio.create_task(self.begun(spec, image, network)))

    async def whole(self, begun: asyncio.Task[DockerContainer]) -> DockerContainer:
        """Cancelled, it first lets the beginning come to its end: the engine cannot be told to stop half-way."""
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            with contextlib.suppress(NoContainerError):
                await (await begun).stop()
            raise

    async def begun(self, spec: ContainerSpec, image: Found, network: Network) -> DockerContainer:
        """What fails leaves nothing."""
        seat = await self.seats.take(spec.namespace, network)
        self.networks.admit(seat.address, spec.namespace, spec.action)
        reach = self.reach(spec)
        room = Room(seat, reach.processes, self.pool_mb)
        name = f"{PREFIX}{spec.name}"
        labels = self.owner.labels(spec.namespace)
        container = DockerContainer(name, "", image.id, self.engine, seat, partial(self.free, seat=seat))
        self.containers[name] = container
        try:
            container.number = await self.engine.do(create, self.engine, name, spec, image, room, labels)
            self.endings.containers[container.number] = container
            await container.start(partial(self.measures.watch, memory_mb=spec.memory_mb, processes=reach.processes))
        except ENGINE_ERRORS as error:
            await container.stop()
            kind = NoImageError if is_of_image(error) else NoContainerError
            raise kind(f"docker started no container of {spec.image or image.id}: {said(error)}") from error
        except BaseException:
            await container.stop()
            raise
        return container

    def free(self, container: DockerContainer, seat: Seat) -> None:
        self.containers.pop(container.name, None)
        self.endings.containers.pop(container.number, None)
        self.networks.dismiss(seat.address)
        self.seats.give_back(seat)

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        """Services change for containers that are there too; what their processes may be does not."""
        self.reaches[reach.namespace, reach.action] = reach
        inside = await self.networks.set_reach(reach)
        self.seats.hold(reach.namespace)
        return inside

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
        """Containers first: a network goes when nothing is on it."""
        if self.watching is not None:
            self.watching.cancel()
        containers = list(self.containers.values())
        await asyncio.gather(*(container.stop() for container in containers), self.seats.close())
        await self.networks.close()
        self.endings.close()
        self.measures.close()
        await asyncio.to_thread(self.guardian.dismiss)
        self.engine.close()


def is_of_image(error: BaseException) -> bool:
    """Whether the engine blames what the image says of itself, such as no command, or no longer has the image."""
    return isinstance(error, docker.errors.APIError) and error.status_code in BLAMES_IMAGE
