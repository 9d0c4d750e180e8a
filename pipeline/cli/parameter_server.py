"""`pipeline parameter-server`: the run's own, from a file of settings, or one by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import UsageError


def parameter_server(
    config: Annotated[
        Path | None, typer.Option(help="settings in JSON; a run starts its own server so", metavar="FILE")
    ] = None,
    master_addr: Annotated[
        str, typer.Option("--master-addr", "--master_addr", help="address to listen on", metavar="HOST")
    ] = "127.0.0.1",
    master_port: Annotated[
        int, typer.Option("--master-port", "--master_port", help="port to listen on", min=0, max=65535)
    ] = 29500,
    batch_sz: Annotated[
        int, typer.Option("--batch-sz", "--batch_sz", help="gradients averaged for an update", min=1, max=1024)
    ] = 4,
    lr: Annotated[float, typer.Option(help="learning rate")] = 0.03,
    open_: Annotated[bool, typer.Option("--open", help="ask no tokens; on loopback only")] = False,
    token_file: Annotated[
        Path | None, typer.Option(help="a file with the token that workers must show", metavar="FILE")
    ] = None,
) -> None:
    """Start a parameter server by hand, as in the course's notes, and serve until stopped."""
    from pipeline.training.server import serve
    from pipeline.training.server_settings import by_hand_settings, read_settings

    if config is not None:
        serve(read_settings(config))
        return
    if not open_ and token_file is None:
        raise UsageError("no worker could register", hint="name --open for loopback without tokens, or --token-file")
    serve(
        by_hand_settings(
            master_addr=master_addr,
            master_port=master_port,
            batch_sz=batch_sz,
            learning_rate=lr,
            open_=open_,
            shared_token=token_of(token_file),
        )
    )


def token_of(file: Path | None) -> str | None:
    try:
        return file.read_text().strip() if file else None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint="it holds the workers' token") from None
