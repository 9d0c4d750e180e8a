"""`pipeline jenkins`: the folder and jobs of a course in Jenkins, as its roster says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.backends.ci import Jobs
from pipeline.build_server import FILE, read_build_server
from pipeline.cli.output import output, styled, write_json
from pipeline.errors import UsageError
from pipeline.roster import read_roster
from pipeline.submissions.folder import CourseFolder

ROSTER = "students.csv"
WORDS = {
    "create": "made",
    "update": "brought up to date",
    "enable": "enabled again",
    "disable": "disabled: not on the roster, its builds are kept",
    "foreign": "left alone: not made by this program",
}

app = typer.Typer(no_args_is_help=True, help="The folder and jobs of a course in Jenkins, as its roster says.")
Folder = Annotated[Path, typer.Argument(help="the course's folder", metavar="DIR", show_default=False)]
Roster = Annotated[
    Path | None, typer.Option(help="name, email, jenkins, team", metavar="CSV", show_default=f"DIR/{ROSTER}")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command("sync", short_help="make and update the jobs")
def sync(folder: Folder, roster: Roster = None, as_json: AsJson = False) -> None:
    """Make Jenkins' folder and jobs as the course and its roster say; a second time changes nothing.

    Jobs of those who left the roster are disabled, and keep their builds. Jenkins is named by jenkins.toml in DIR.
    """
    console = output(errors=as_json)
    done = course_jobs(folder, roster).sync(lambda one: console.print(styled(f"{one.name}: {WORDS[one.kind]}")))
    if as_json:
        write_json([asdict(one) for one in done])
    elif not done:
        console.print(styled("everything is as it should be"))


@app.command("status", short_help="what differs from the roster")
def status(folder: Folder, roster: Roster = None, as_json: AsJson = False) -> None:
    """Say what `sync` would do; nothing is changed. The exit code is 0 whether anything differs or not."""
    found = course_jobs(folder, roster).differences()
    if as_json:
        write_json([asdict(one) for one in found])
        return
    for one in found:
        output().print(styled(f"{one.kind:<8} {one.name}"))
    if not found:
        output().print(styled("everything is as it should be"))


def course_jobs(folder: Path, roster: Path | None) -> Jobs:
    from pipeline.backends.choose import choose_jobs

    course = CourseFolder.open(folder)
    server = read_build_server(course.folder)
    if server is None:
        raise UsageError(f"{course.folder} names no Jenkins: it has no {FILE}", hint="docs/jenkins.md shows one")
    return choose_jobs(course.course(), read_roster(roster or course.folder / ROSTER), server)
