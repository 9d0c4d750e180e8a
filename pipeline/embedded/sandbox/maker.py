"""Makes containers out of processes: bubblewrap where the probe shows that it works, else what there is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from pipeline.embedded.contract import ProcessImage, Reach, Service
from pipeline.embedded.openwhisk.containers import ContainerSpec, NoContainerError, NoImageError
from pipeline.embedded.sandbox import relay
from pipeline.embedded.sandbox.cgroups import PARENT, ROOT, Cgroup, make_cgroup
from pipeline.embedded.sandbox.container import ProcessContainer
from pipeline.embedded.sandbox.interpreter import interpreter_mounts
from pipeline.embedded.sandbox.launch import INSIDE_SERVICES, Mount, Plan, bubblewrapped, reduced
from pipeline.embedded.sandbox.listeners import Listeners
from pipeline.embedded.sandbox.probe import make_stage, probe
from pipeline.embedded.sandbox.tree import MARKER
from pipeline.embedded.sandbox.watch import Watch
from pipeline.settings import Isolation

LOOK_S = 0.1
USERS = range(200_000, 260_000)
PROCESSES = 64
BACKLOG = 16
BASE, ENVIRONMENT, CODE, RUNNER, RELAY = (
    Path(name) for name in ("/base", "/environment", "/code", "/opt/runner", "/opt/relay.py")
)
KIND = "python:3"
"""Code actions of a managed kind run in the image that is installed under this reference."""


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
        self.dropping = self.apart and os.geteuid() == 0
        self.containers: dict[str, ProcessContainer] = {}
        self.reaches: dict[tuple[str, str], tuple[Service, ...]] = {}
        self.listeners = Listeners()
        self.watching: asyncio.Task[None] | None = None
        remove_leftovers()

    async def available(self) -> str:
        return "" if self.level.isolation.rank >= Isolation.REDUCED.rank else "no process sandbox works here"

    async def create(self, spec: ContainerSpec) -> ProcessContainer:
        image = self.image(spec.image or KIND)
        services = self.reaches.get((spec.namespace, spec.action), ())
        if self.watching is None:
            self.watching = asyncio.create_task(self.watch())
        with contextlib.ExitStack() as undo:
            listener, path = self.listen(spec.name)
            undo.callback(listener.close)
            stage = make_stage() if self.dropping else None
            cgroup = make_cgroup(spec.name, spec.memory_mb, PROCESSES)
            plan = self.plan(spec, image, services, stage, cgroup, listener.fileno())
            try:
                process = await start(bubblewrapped(plan) if self.apart else reduced(plan), listener.fileno())
            except OSError as error:
                clean(path, stage, cgroup)
                raise NoContainerError(f"no process could be started: {error.strerror}") from error
        self.note(process.pid, f"container {spec.name}")
        return self.contain(spec, process, path, stage, cgroup)

    def contain(
        self,
        spec: ContainerSpec,
        process: asyncio.subprocess.Process,
        path: Path,
        stage: Path | None,
        cgroup: Cgroup | None,
    ) -> ProcessContainer:
        watch = Watch(spec.name, process.pid, spec.memory_mb, PROCESSES, cgroup, apart=self.apart)

        def freed() -> None:
            self.containers.pop(spec.name, None)
            clean(path, stage, None)

        container = ProcessContainer(spec.name, process, path, watch, cgroup, freed)
        self.containers[spec.name] = container
        return container

    def image(self, reference: str) -> ProcessImage:
        try:
            return ProcessImage.model_validate_json(self.image_file(reference).read_bytes())
        except (OSError, ValidationError) as error:
            raise NoImageError(f"there is no image {reference}") from error

    def listen(self, name: str) -> tuple[socket.socket, Path]:
        """The socket that the program serves, made outside: nothing that it can write to is bound in."""
        path = self.sockets / f"act-{name[-24:]}"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
        return listener, path

    def plan(
        self,
        spec: ContainerSpec,
        image: ProcessImage,
        services: tuple[Service, ...],
        stage: Path | None,
        cgroup: Cgroup | None,
        listener: int,
    ) -> Plan:
        folders = {RUNNER: image.runner, BASE: image.base, ENVIRONMENT: image.environment, CODE: image.code}
        there = {inside: source for inside, source in folders.items() if source is not None}
        seen = {inside: inside if self.apart else source for inside, source in there.items()}
        path = ":".join(str(seen[inside]) for inside in (RUNNER, BASE, ENVIRONMENT) if inside in seen)
        variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": path,
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "RUNNER_CODE": str(seen.get(CODE, "")),
            "RUNNER_LISTEN_FD": str(listener),
            MARKER: spec.name,
            **image.variables,
            **spec.variables,
        }
        mounts = [*interpreter_mounts(), *(Mount(source, inside) for inside, source in there.items())]
        program: tuple[str, ...] = (str(image.python), "-S", *image.command)
        if self.apart and services:
            mounts.append(Mount(Path(relay.__file__), RELAY))
            mounts += [Mount(service.socket, INSIDE_SERVICES / service.name) for service in services]
            sockets = {f"127.0.0.1:{one.port}": str(INSIDE_SERVICES / one.name) for one in services}
            variables["RUNNER_SOCKETS"] = json.dumps(sockets)
            relays = (f"{one.port}={INSIDE_SERVICES / one.name}" for one in services)
            program = (str(image.python), "-I", "-S", str(RELAY), *relays, "--", *program)
        return Plan(
            program=program,
            mounts=tuple(mounts),
            variables=variables,
            memory_mb=spec.memory_mb,
            processes=PROCESSES,
            user=random.choice(USERS) if self.dropping else None,
            stage=stage,
            cgroup_files=cgroup.files if cgroup and stage else (),
        )

    async def set_reach(self, reach: Reach) -> dict[str, str]:
        """Containers that reached something else before are ended; theirs are the old sockets."""
        key = (reach.namespace, reach.action)
        self.reaches[key] = reach.services
        for service in reach.services:
            # a folder that only we can pass keeps others away; the sandbox's user must be able to connect
            with contextlib.suppress(FileNotFoundError):
                service.socket.chmod(0o666)
        if self.apart:
            return {service.name: f"127.0.0.1:{service.port}" for service in reach.services}
        return {service.name: await self.listeners.open(service.socket) for service in reach.services}

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


async def start(command: list[str], listener: int) -> asyncio.subprocess.Process:
    """With the listening socket and nothing else of ours open, and no variable of ours to be seen."""
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        cwd="/",
        pass_fds=(listener,),
        start_new_session=True,
    )


def clean(path: Path, stage: Path | None, cgroup: Cgroup | None) -> None:
    path.unlink(missing_ok=True)
    if stage is not None:
        shutil.rmtree(stage, ignore_errors=True)
    if cgroup is not None:
        cgroup.remove()


def remove_leftovers() -> None:
    """Control groups without a process that a killed supervisor left."""
    if sys.platform != "linux":
        return
    for controller in ROOT.glob(f"*/{PARENT}/*"):
        with contextlib.suppress(OSError):
            controller.rmdir()
