"""`pipeline doctor`: what is here, what is missing, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli.findings import Finding, State, findings
from pipeline.cli.output import output, styled, write_json
from pipeline.course import load_course
from pipeline.errors import EXIT_CODES, Outcome

STYLES = {State.OK: "green", State.MISSING: "bold red", State.NOTE: "yellow"}


def doctor(
    online: Annotated[bool, typer.Option("--online", help="ask the package index too")] = False,
    course: Annotated[
        Path | None, typer.Option(help="ask the servers of this course too", metavar="FILE", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what is here, what is missing and what to do; exit code 3 where a run could not pass."""
    found = findings(online=online)
    if course is not None:
        from pipeline.cli.jenkins_findings import jenkins_findings  # their clients take time to load
        from pipeline.cli.server_findings import server_findings

        settings = load_course(course).course
        found += [*server_findings(settings), *jenkins_findings(settings, course.resolve().parent)]
    if as_json:
        write_json([vars(one) for one in found])
    else:
        show(found)
    if any(one.state is State.MISSING for one in found):
        raise typer.Exit(EXIT_CODES[Outcome.INFRASTRUCTURE])


def show(found: list[Finding]) -> None:
    console = output()
    if not console.is_terminal:
        for one in found:
            todo = f"; {one.todo}" if one.todo else ""
            console.print(styled(f"{one.state.value:<8} {one.name:<11} {one.detail}{todo}"))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in found:
        words = styled(one.detail)
        if one.todo:
            words.append(f"\n{one.todo}", style="bold")
        table.add_row(Text(one.state.value, style=STYLES[one.state]), Text(one.name), words)
    console.print(table, soft_wrap=False)
