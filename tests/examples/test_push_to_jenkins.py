"""A real `git push`, the hook, the spool, the dispatcher, a build of the real Jenkinsfile, the report, `remote:` lines.

Jenkins itself is the stand-in of tests/support/jenkins_server.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from frame.processes import Processes
from support.jenkins_server import JenkinsServer, Program, course_files, served
from support.jenkinsfile import Agent, Build, InHarness, agent, require, stop
from support.runs import COURSE, EXAMPLES, command

from pipeline.cli.app import call
from pipeline.submissions.entry import State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student, create_course

WAIT_S = 500
NAMES = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
STUDENT = dict.fromkeys(NAMES, "ada@example.org") | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def home(tmp_path: Path) -> Agent:
    """An agent that shares this machine's disk and has the courses of this user's caches."""
    require()
    kept = {name: os.environ[name] for name in ("UV_FIND_LINKS", "UV_INDEX_URL") if name in os.environ}
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    made = agent(tmp_path, XDG_CACHE_HOME=cache, **kept)
    (Path(made.environment["PIPELINE_COURSES"]) / "tests").mkdir()
    shutil.copyfile(COURSE, Path(made.environment["PIPELINE_COURSES"]) / "tests" / "course.toml")
    return made


@pytest.fixture
def jenkins(tmp_path: Path, home: Agent) -> Iterator[JenkinsServer]:
    builds: list[Build] = []

    def start(job: str, number: int, parameters: dict[str, str], url: str) -> Program:
        folder = tmp_path / "builds" / f"{job.replace('/', '-')}-{number}"
        builds.append(Build(folder, parameters, [home], number=number, job=job, url=url).start())
        return InHarness(builds[-1])

    with served(start) as server:
        yield server
        for build in builds:
            if build.process is not None:
                stop(build.process, [build])


@pytest.fixture
def course(tmp_path: Path, jenkins: JenkinsServer) -> CourseFolder:
    made = create_course(tmp_path / "course", COURSE)
    course_files(made.folder, jenkins)
    (made.folder / "students.csv").write_text("name,email,jenkins,team\nada,ada@x.example,,\n")
    add_student(made, "ada")
    assert call(["jenkins", "sync", str(made.folder)]) == 0
    return made


def pushed(course: CourseFolder, folder: Path) -> list[str]:
    """What the pusher reads of a first push."""
    shutil.copytree(EXAMPLES / "mnist_train", folder, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | STUDENT
    repository = str(course.repository("ada", "mnist-small"))
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)
    push = ["git", "push", repository, "main"]
    done = subprocess.run(push, cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=WAIT_S)
    return [line.removeprefix("remote: ").rstrip() for line in done.stderr.splitlines() if line.startswith("remote: ")]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_push_comes_back_graded(
    course: CourseFolder, jenkins: JenkinsServer, home: Agent, tmp_path: Path, processes: Processes
) -> None:
    with (tmp_path / "dispatch.log").open("wb") as log:
        processes.start(command("dispatch", course.folder, "--slots", "4"), stdout=log, stderr=log)
    lines = pushed(course, tmp_path / "clone")
    shown = "\n".join([*lines, (tmp_path / "dispatch.log").read_text()])
    assert Spool(course.spool).active() == [], shown
    (entry,) = Spool(course.spool).over()
    assert (entry.state, entry.points, entry.attempt) == (State.GRADED, 100.0, 1), shown
    assert lines[-2:] == [
        "passed, 100 of 100 points (attempt 1)",
        f"report: {jenkins.url}job/tests/job/mnist-small-ada/1/Report/",
    ]
    stages = [line.split()[0] for line in lines if " done " in line]
    assert stages == ["fetch", "check", "render", "build", "push", "register", "execute", "collect", "report"]
    assert "Finished: SUCCESS" in lines
    assert not any(line.startswith("[20") for line in lines)
    (build,) = jenkins.items["tests/mnist-small-ada"].builds
    assert build.parameters["SUBMISSION_ID"] == entry.id
    record = json.loads((Path(home.environment["PIPELINE_RUNS"]) / entry.id / "record.json").read_text())
    assert (record["run"], record["outcome"], record["fetched"]["commit"]) == (entry.id, "passed", entry.new)
    published = files_below(tmp_path / "builds" / "tests-mnist-small-ada-1" / "archive" / "report")
    brought = files_below(course.run(entry.id))
    assert brought.pop("brought.json")
    assert {"report.html", "model.safetensors", "logs/worker-0.log", "plots/loss.svg"} <= set(brought)
    assert brought == published


def files_below(folder: Path) -> dict[str, bytes]:
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
