"""`pipeline verdict`: what a build server shows of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import write, write_json
from pipeline.errors import UsageError
from pipeline.files import machine_fault
from pipeline.verdict import publish
from pipeline.verdict import verdict as verdict_on

Folder = Annotated[Path, typer.Argument(help="the run's folder", metavar="DIR", show_default=False)]


def verdict(
    folder: Folder,
    run_id: Annotated[str | None, typer.Option("--id", help="the id that the run must have", metavar="ID")] = None,
    code: Annotated[
        str,
        typer.Option(help="exit code of the run's last stage; empty: not known", metavar="CODE", show_default=False),
    ] = "",
    published: Annotated[
        Path | None,
        typer.Option("--publish", help="copy what the student may read of the run into this folder", metavar="INTO"),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="result, name and description, a line each, instead of JSON")
    ] = False,
) -> None:
    """Say in Jenkins' words how a run ended, by its record alone.

    SUCCESS, UNSTABLE (the student's failure, a limit, too few points), FAILURE (infrastructure, course), ABORTED or
    NOT_BUILT (superseded). Without a record that fits it is FAILURE. The exit code is 0 whatever it says.
    """
    said = verdict_on(folder, run=run_id, code=number(code))
    if published is not None:
        try:
            publish(folder, published)
        except OSError as error:
            raise machine_fault(error) from error
    if lines:
        write(f"{said.result}\n{said.name}\n{said.description}\n")
    else:
        write_json(asdict(said))


def number(code: str) -> int | None:
    """A build that was stopped before its last stage knows no code."""
    if not code:
        return None
    if not code.isdecimal():
        raise UsageError(f"--code {code!r} is no exit code", hint="a number from 0 to 255")
    return int(code)
