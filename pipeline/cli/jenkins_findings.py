"""What `pipeline doctor --course FILE` says of the Jenkins that the course's folder names. No finding shows a token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.backends.choose import choose_jobs
from pipeline.build_server import FILE, BuildServer, read_build_server
from pipeline.cli.findings import Finding, State
from pipeline.cli.jenkins import ROSTER
from pipeline.errors import PipelineError
from pipeline.roster import read_roster
from pipeline.settings import Course

OTHERS_MAY_READ = 0o077


def jenkins_findings(course: Course, folder: Path) -> list[Finding]:
    """Whether it answers, takes the bot's token, and has the jobs of the roster; nothing where none is named."""
    try:
        server = read_build_server(folder)
        if server is None:
            return []
        owners = read_roster(folder / ROSTER)
        differences = choose_jobs(course, owners, server).differences()
    except PipelineError as error:
        faults = "".join(f"; {fault}" for fault in error.faults)
        return [Finding("Jenkins", State.MISSING, f"{error.message}{faults}", error.hint)]
    changes = Counter(one.kind for one in differences if one.kind != "foreign")
    where = f"{server.url} takes the token of {server.user}"
    if changes:
        told = ", ".join(f"{number} to {kind}" for kind, number in sorted(changes.items()))
        found = Finding("Jenkins", State.NOTE, f"{where}; its jobs: {told}", f"`pipeline jenkins sync {folder}`")
    else:
        found = Finding("Jenkins", State.OK, f"{where}, and its jobs are as {ROSTER} says")
    return [found, *weak_points(server)]


def weak_points(server: BuildServer) -> Iterable[Finding]:
    if server.url.startswith("http://"):
        yield Finding("Jenkins", State.NOTE, "anybody in between could read the bot's token", "https, and ca_file")
    if server.token_file.stat().st_mode & OTHERS_MAY_READ:
        todo = f"chmod 600 {server.token_file}"
        yield Finding("keys", State.NOTE, f"others may read {server.token_file} of {FILE}", todo)
