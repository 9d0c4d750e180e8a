"""A stand-in for Jenkins whose builds do what a test says, and a course whose jobs are made there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.backends.ci.jenkins_builds import JenkinsBuilds
from pipeline.build_server import read_build_server
from pipeline.cli.app import call
from pipeline.errors import Outcome
from pipeline.figures import Figures
from pipeline.reporting.assembly import assemble
from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder
from support.jenkins_server import JenkinsServer, Scripted, course_files, served
from support.reports import assignment, record, stages

ROSTER = "name,email,jenkins,team\nada,ada@x.example,,\nbob,bob@x.example,b.ob,\ncleo,,cleo,seven\ndora,,,seven\n"
COURSE = """\
name = "ml"
title = "Learning"
[[assignments]]
name = "mnist"
title = "Digits & more"
passed_from = 1
[[assignments.checks]]
name = "accuracy"
measure = "accuracy"
at_least = 0.5
points = 1
"""
ID = "0123456789abcdef" * 2
ENTRY = Entry(
    id=ID,
    course="ml",
    assignment="mnist",
    student="ada",
    repository="/srv/git/ada/mnist.git",
    ref="refs/heads/main",
    old="0" * 40,
    new="c0" * 20,
    arrived=datetime(2026, 8, 1, 10, 15, tzinfo=UTC),
    attempt=2,
)


class Bench:
    """A server whose builds do what the test says, and a course whose jobs are made there."""

    def __init__(self, folder: Path, server: JenkinsServer, programs: list[Scripted]) -> None:
        self.server, self.programs = server, programs
        self.folder = folder / "course"
        course_files(self.folder, server)
        (self.folder / "course.toml").write_text(COURSE)
        (self.folder / "students.csv").write_text(ROSTER)
        self.course = CourseFolder(self.folder)
        self.now = 0.0
        self.tokens: dict[str, str] = {}

    def builds(self) -> JenkinsBuilds:
        """As a process that has just started: it knows only what lies on the disk."""
        server = read_build_server(self.folder)
        assert server is not None
        return JenkinsBuilds(self.course, server, clock=self.clock)

    def clock(self) -> float:
        self.now += 10
        return self.now

    def sync(self) -> None:
        assert call(["jenkins", "sync", str(self.folder)]) == 0

    def posts(self) -> list[str]:
        return [path for method, path in self.server.requests if method == "POST"]

    def console(self) -> str:
        return self.course.console(ID).read_text()


@contextmanager
def opened(folder: Path) -> Iterator[Bench]:
    programs: list[Scripted] = []

    def start(*_: Any) -> Scripted:
        programs.append(Scripted())
        return programs[-1]

    with served(start) as server:
        yield Bench(folder, server, programs)


def result(outcome: Outcome, points: float | None, run: str = ID) -> bytes:
    of = record(assignment(), run=run, outcome=outcome, points=points, stages=stages())
    return assemble(of, Figures(), None, of.stages[-1]).model_copy(
        update={"points": points}
    ).model_dump_json().encode()  # fmt: skip
