"""`pipeline serve --course`: a real push over http, graded by real runs, whatever is stopped or killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from frame.processes import Processes
from support.runs import COURSE, EXAMPLES, LONGER, command

from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student, create_course

WAIT_S = 400.0
STUDENT = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


class Served:
    """A course that is served, stopped, killed and served again; one student with a clone."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder, self.processes = folder, processes
        self.course: CourseFolder = create_course(folder / "course", COURSE)
        self.token, _ = add_student(self.course, "ada")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.serve()
        self.clone = folder / "clone"
        shutil.copytree(EXAMPLES / "mnist_train", self.clone, ignore=shutil.ignore_patterns("__pycache__"))
        with (self.clone / "submission.toml").open("a") as settings:
            settings.write(LONGER)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "origin", f"http://ada:{self.token}@127.0.0.1:{self.port}/git/ada/mnist-small.git")

    def serve(self) -> None:
        log = (self.folder / "serve.log").open("ab")
        arguments = ["serve", "--course", str(self.course.folder), "--pages-port", str(self.port), "--slots", "1"]
        self.server = self.processes.start(command(*arguments), stdout=log, stderr=log)
        wait_for(lambda: "Ctrl-C ends it." in self.said_by_server(), self)
        (self.folder / "serve.log").rename(self.folder / f"serve-{time.monotonic_ns()}.log")

    def said_by_server(self) -> str:
        path = self.folder / "serve.log"
        return path.read_text() if path.exists() else ""

    def git(self, *arguments: str) -> None:
        environment = {**os.environ, **STUDENT}
        subprocess.run(["git", "-C", str(self.clone), *arguments], check=True, capture_output=True, env=environment)

    def commit(self, text: str) -> None:
        with (self.clone / "model.py").open("a") as file:
            file.write(f"# {text}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", text)

    def push(self) -> subprocess.Popen[str]:
        return self.processes.start(
            ["git", "-C", str(self.clone), "push", "origin", "main"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **STUDENT},
        )

    def active(self) -> list[Entry]:
        return Spool(self.course.spool).active()

    def over(self) -> list[Entry]:
        return Spool(self.course.spool).over()

    def is_training(self) -> bool:
        entries = self.active()
        run = self.course.run(entries[0].id) if entries else None
        servers = run / "private" / "servers" if run else None
        return servers is not None and any(servers.rglob("checkpoint-*.safetensors"))


def wait_for(condition: object, served: Served) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited {WAIT_S} s; {served.said_by_server()}; {served.active()}"
        time.sleep(0.1)


@pytest.fixture
def served(tmp_path: Path, processes: Processes) -> Iterator[Served]:
    made = Served(tmp_path, processes)
    yield made
    made.server.send_signal(signal.SIGINT)
    made.server.wait(60)


@pytest.mark.slow
def test_the_pusher_reads_the_run_and_its_grade(served: Served) -> None:
    served.commit("first")
    pushing = served.push()
    said = pushing.communicate(timeout=WAIT_S)[1]
    assert pushing.returncode == 0, said
    lines = [line.removeprefix("remote: ").rstrip() for line in said.splitlines() if line.startswith("remote: ")]
    assert lines[0].startswith("submission ")
    assert [line.split()[0] for line in lines if " done " in line] == [
        *("fetch", "check", "render", "build", "push", "register", "execute", "collect", "report")
    ]
    (entry,) = served.over()
    assert lines[-2:] == [
        "passed, 100 of 100 points (attempt 1)",
        f"report: http://127.0.0.1:{served.port}/submissions/{entry.id}",
    ]
    result = json.loads((served.course.run(entry.id) / "result.json").read_text())
    assert (result["run"], result["attempt"], result["practice"]) == (entry.id, 1, False)
    assert result["submission"]["commit"] == entry.new


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="runs stop by Linux' own signals here")
def test_a_served_course_that_is_stopped_then_killed_loses_nothing(served: Served) -> None:
    served.commit("first")
    pushing = served.push()
    wait_for(served.is_training, served)
    served.server.send_signal(signal.SIGINT)
    assert served.server.wait(60) == 0
    said = pushing.communicate(timeout=30)[1]
    assert "the server stops now; your submission is kept" in said
    assert pushing.returncode == 0, said
    (waiting,) = served.active()
    assert (waiting.state, waiting.tries) == (State.WAITING, 0)
    served.serve()
    wait_for(served.is_training, served)
    served.server.kill()
    served.server.wait()
    served.serve()
    wait_for(lambda: not served.active(), served)
    (entry,) = served.over()
    assert (entry.state, entry.points, entry.attempt) == (State.GRADED, 100.0, 1)
