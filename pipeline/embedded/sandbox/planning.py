"""From an image and what its action reaches to the plan of one container: what is put in, and what its program sees."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.embedded.contract import ONE_THREAD, ProcessImage, Service
from pipeline.embedded.openwhisk.containers import ContainerSpec, NoContainerError
from pipeline.embedded.sandbox.cgroups import Cgroup
from pipeline.embedded.sandbox.interpreter import interpreter_mounts
from pipeline.embedded.sandbox.launch import INSIDE_SERVICES, Mount, Plan
from pipeline.embedded.sandbox.tree import MARKER

BASE, ENVIRONMENT, CODE, RUNNER = (Path(name) for name in ("/base", "/environment", "/code", "/opt/runner"))
START = """
import runpy, sys
_, module, first, *last = sys.argv
sys.path.insert(0, first)
sys.path += last
sys.argv = [module]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a module with the runner's folder before the standard library and packages behind it, as installed ones are:
there are wheels that bring an old `typing` or `dataclasses`. PYTHONPATH puts all before it."""
SPARE_TASKS = 16
"""The limit by user is a second wall: the control group's is met first, and tells that it was."""


@dataclass(frozen=True)
class Given:
    """What was made for one container. Descriptors by number; `calls` and `stage` where there are such."""

    listener: int
    started: int
    calls: int | None
    user: int | None
    stage: Path | None
    cgroup: Cgroup | None


def plan(
    spec: ContainerSpec, image: ProcessImage, services: tuple[Service, ...], given: Given, *, tasks: int, apart: bool
) -> Plan:
    """Raises NoContainerError, which says what is not there or cannot be opened."""
    python = image.python.resolve()
    folders = {inside: source for inside, source in folders_of(image).items() if source is not None}
    mounts = [*interpreter_mounts(python), *(Mount(source, inside) for inside, source in folders.items())]
    sockets = [Mount(one.socket, INSIDE_SERVICES / one.name) for one in services if one.socket is not None]
    for mount in (*mounts, *sockets):
        if not mount.source.exists():
            raise NoContainerError(f"what a container needs is not there: {mount.source.name} for {mount.inside}")
    if not apart and given.user is not None:
        refuse_private(python, *folders.values())
    seen = {inside: inside if apart else source for inside, source in folders.items()}
    return Plan(
        program=(str(python), *program(image, seen)),
        mounts=(*mounts, *sockets),
        variables=dict(variables(spec, image, services if apart else (), given, seen)),
        memory_mb=spec.memory_mb,
        tasks=tasks + SPARE_TASKS if tasks else 0,
        started=given.started,
        relays={service.port: INSIDE_SERVICES / service.name for service in services},
        calls=given.calls,
        user=given.user,
        stage=given.stage,
        cgroup_files=given.cgroup.files if given.cgroup else (),
    )


def program(image: ProcessImage, seen: dict[Path, Path]) -> tuple[str, ...]:
    """Without PYTHONPATH, which is for programs that this one starts."""
    if len(image.command) != 2 or image.command[0] != "-m":
        return ("-S", *image.command)
    order = (str(seen[inside]) for inside in (RUNNER, BASE, ENVIRONMENT) if inside in seen)
    return ("-S", "-E", "-P", "-u", "-B", "-c", START, image.command[1], *order)


def folders_of(image: ProcessImage) -> dict[Path, Path | None]:
    """In the order in which modules are looked for: what a wheel brings hides neither the runner nor the base."""
    return {RUNNER: image.runner, BASE: image.base, ENVIRONMENT: image.environment, CODE: image.code}


def variables(
    spec: ContainerSpec, image: ProcessImage, services: tuple[Service, ...], given: Given, seen: dict[Path, Path]
) -> Iterator[tuple[str, str]]:
    """All that the program sees of an environment; nothing of ours comes along."""
    yield "PATH", "/usr/local/bin:/usr/bin:/bin"
    yield from (("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("USER", "action"), ("LOGNAME", "action"))
    yield from ONE_THREAD.items()
    yield "PYTHONPATH", ":".join(str(seen[inside]) for inside in (RUNNER, BASE, ENVIRONMENT) if inside in seen)
    yield from ((name, "1") for name in ("PYTHONSAFEPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"))
    yield "RUNNER_CODE", str(seen.get(CODE, ""))
    yield "RUNNER_LISTEN_FD", str(given.listener)
    yield MARKER, spec.name
    if services:
        sockets = {f"127.0.0.1:{service.port}": str(INSIDE_SERVICES / service.name) for service in services}
        yield "RUNNER_SOCKETS", json.dumps(sockets)
    yield from image.variables.items()
    yield from spec.variables.items()


def refuse_private(*paths: Path) -> None:
    """Without a mount namespace the dropped user opens what is where it is, or cannot."""
    for path in paths:
        for place in (path, *path.parents):
            if not place.stat().st_mode & 0o001:
                raise NoContainerError(
                    f"{place} is private, and student code does not run as root: "
                    f"{'put it elsewhere' if os.geteuid() == 0 else 'open it'}, or have bubblewrap work here"
                )
