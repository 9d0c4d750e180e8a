"""`pipeline serve`: the embedded servers by themselves, until stopped."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.built import built_by
from pipeline.cli.output import output, styled
from pipeline.embedded.client import Embedded, attach, start, write_shared
from pipeline.embedded.contract import CODE_IMAGE
from pipeline.embedded.docker.subnets import pool_of
from pipeline.embedded.guest import target_fault
from pipeline.embedded.openwhisk.settings import default_pool_mb
from pipeline.embedded.settings import EmbeddedSettings
from pipeline.errors import Fault, InfrastructureError, UsageError
from pipeline.settings import LEAST_MB, Sandbox
from pipeline.signals import stop_asked

STATE = Path("runs") / "serve"
NETWORKS = EmbeddedSettings().networks
LOOK_S = 2.0
ORPHANED_S = 60.0
"""Servers that nobody has looked at for so long end: their `pipeline serve` was killed."""


def serve(
    sandbox: Annotated[Sandbox, typer.Option(help="what actions run in", metavar="auto|process|docker")] = Sandbox.AUTO,
    ready_file: Annotated[
        Path | None, typer.Option(help="written once all answer, mode 0600: addresses and keys", metavar="FILE")
    ] = None,
    state: Annotated[Path, typer.Option(help="what is kept: actions, activations, objects", metavar="DIR")] = STATE,
    port: Annotated[int, typer.Option(help="of OpenWhisk's API; 0: a free one", min=0, max=65535)] = 3233,
    store_port: Annotated[int, typer.Option(help="of the store; 0: a free one", min=0, max=65535)] = 9000,
    pool_mb: Annotated[
        int | None, typer.Option(help="memory pool", min=128, show_default="4096, at most half of RAM")
    ] = None,
    prewarmed: Annotated[int, typer.Option(help="containers kept warm, 256 MB each", min=0, max=64)] = 0,
    concurrent: Annotated[int, typer.Option(help="activations of one namespace at once", min=1)] = 30,
    per_minute: Annotated[int, typer.Option(help="invocations of one namespace a minute", min=1)] = 100_000,
    reach: Annotated[
        list[str] | None,
        typer.Option(help="what actions may reach beside the two; repeat it", metavar="HOST:PORT", show_default=False),
    ] = None,
    networks: Annotated[str, typer.Option(help="docker: what the network is cut from", metavar="CIDR")] = NETWORKS,
    image: Annotated[
        list[Path] | None,
        typer.Option(help="a run whose image `--docker` may name; repeat it", metavar="RUN", show_default=False),
    ] = None,
    course: Annotated[
        Path | None, typer.Option(help="a course's folder: grade what is pushed to it, show its pages", metavar="DIR")
    ] = None,
    host: Annotated[str, typer.Option(help="of a course's pages: the address to listen on")] = "127.0.0.1",
    pages_port: Annotated[int, typer.Option(help="of a course's pages", min=1, max=65535)] = 8080,
    url: Annotated[
        str | None, typer.Option(help="of a course's pages, as browsers find them", show_default="http://HOST:PORT")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(help="of a course: builds at a time", min=1, show_default="half of the processors")
    ] = None,
) -> None:
    """Run the embedded OpenWhisk and store in the foreground until stopped; with --course, a whole course instead.

    A course's builds bring servers of their own, so that none of the other options applies to it.
    """
    from pipeline.backends.choose import runtime_image

    if course is not None:
        from pipeline.cli.serve_course import serve_course

        with stop_asked() as stopping:
            serve_course(course, host, pages_port, url, slots, stopping)
        return
    # no action has less memory, so that no more containers than this allows are there at a time
    containers = max(1, (pool_mb or default_pool_mb()) // LEAST_MB)
    pool_of(networks, containers)
    built = built_by(image or [], sandbox)
    settings = EmbeddedSettings(
        sandbox=sandbox,
        openwhisk_port=port,
        store_port=store_port,
        pool_mb=pool_mb,
        prewarmed=prewarmed,
        concurrent=concurrent,
        per_minute=per_minute,
        containers=containers,
        networks=networks,
        guest=True,
        reach=read_reach(reach or []),
        idle_s=ORPHANED_S,
        **built.registry,
    )
    if attach(state / "ready.json") is not None:
        raise UsageError(
            f"servers run in {state} already",
            hint="stop them, or name another --state; those whose `pipeline serve` was killed end within a minute",
        )
    images = [runtime_image(CODE_IMAGE, sandbox), *built.images]
    forget(ready_file)
    with stop_asked() as stopping:
        servers = start(state, settings)
        try:
            for one in images:
                servers.install(one)
            announce(servers, ready_file, [one.reference for one in built.images])
            wait(servers, stopping)
        finally:
            servers.stop()
            forget(ready_file)


def read_reach(targets: Sequence[str]) -> tuple[str, ...]:
    """Each once. Raises UsageError that names every one of another form."""
    faults = [Fault(f"--reach {one}", fault) for one in targets if (fault := target_fault(one))]
    if faults:
        raise UsageError("what actions may reach cannot be read", faults=faults, hint="such as --reach 192.0.2.10:5432")
    return tuple(dict.fromkeys(targets))


def forget(ready_file: Path | None) -> None:
    """Removes the file, also one of a `pipeline serve` that was killed: whoever waits for it must not read that."""
    try:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
    except OSError as error:
        raise not_writable(ready_file, error) from None


def not_writable(ready_file: Path | None, error: OSError) -> UsageError:
    return UsageError(f"{ready_file} cannot be written: {error.strerror}", hint="name another file")


def announce(servers: Embedded, ready_file: Path | None, images: Sequence[str]) -> None:
    """Says where the servers are. Keys go into the file alone: a terminal's text is copied about."""
    console = output()
    console.print(styled(f"OpenWhisk  {servers.apihost}"))
    console.print(styled(f"store      {servers.course_store().endpoint}"))
    missing = ", ".join(servers.ready.unenforced)
    console.print(
        styled(f"isolation  {servers.ready.isolation.value}{f'; not enforced: {missing}' if missing else ''}")
    )
    for name, address in servers.ready.inside.items():
        console.print(styled(f"inside     {name}: {address}"))
    for reference in images:
        console.print(styled(f"image      {reference}"))
    if ready_file is not None:
        try:
            write_shared(ready_file, servers.ready)
        except OSError as error:
            raise not_writable(ready_file, error) from None
        console.print(styled(f"keys       {ready_file}"))
    else:
        console.print(styled("keys       name a file for them with --ready-file"))
    console.print(styled("Ctrl-C ends them."))


def wait(servers: Embedded, stopping: threading.Event) -> None:
    """Returns when a stop is asked for. Raises InfrastructureError where the servers end by themselves."""
    while not stopping.wait(LOOK_S):
        try:
            servers.status()
        except InfrastructureError:
            if not stopping.wait(LOOK_S) and attach(servers.ready.state / "ready.json") is None:
                raise InfrastructureError(
                    "the embedded servers have ended by themselves",
                    hint=f"the log is {servers.ready.state / 'supervisor.log'}",
                ) from None
