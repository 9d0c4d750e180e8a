"""`pipeline serve`: the embedded servers by themselves, until stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pipeline.cli.begin import refuse_docker
from pipeline.cli.output import output, styled
from pipeline.errors import InfrastructureError
from pipeline.settings import Sandbox

STATE = Path("runs") / "serve"
END_S = 30.0


def serve(
    sandbox: Annotated[Sandbox, typer.Option(help="what actions run in", metavar="auto|process|docker")] = Sandbox.AUTO,
    ready_file: Annotated[
        Path | None, typer.Option(help="written once all answer, mode 0600: addresses and keys", metavar="FILE")
    ] = None,
    state: Annotated[Path, typer.Option(help="what is kept: actions, activations, objects", metavar="DIR")] = STATE,
    port: Annotated[int, typer.Option(help="of OpenWhisk's API", min=0, max=65535)] = 3233,
    store_port: Annotated[int, typer.Option(help="of the store", min=0, max=65535)] = 9000,
    pool_mb: Annotated[
        int | None, typer.Option(help="memory pool", min=128, show_default="4096, at most half of RAM")
    ] = None,
    concurrent: Annotated[int, typer.Option(help="activations of one namespace at once", min=1)] = 30,
    per_minute: Annotated[int, typer.Option(help="invocations of one namespace a minute", min=1)] = 100_000,
) -> None:
    """Run the embedded OpenWhisk and store in the foreground until stopped."""
    refuse_docker(sandbox)
    raise NotImplementedError
