"""Hooks whose work the server does that is there already, and what becomes of a push where it goes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.pushes import STUDENT, Clone, clone_of_ada, course_of_ada, dispatching, spooled
from support.submissions import ScriptedBuilds

from pipeline.submissions import hook_client
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.hook_server import Connected, answering_hooks


@pytest.fixture
def course(tmp_path: Path) -> CourseFolder:
    return course_of_ada(tmp_path)


@pytest.fixture
def clone(course: CourseFolder, tmp_path: Path) -> Clone:
    return clone_of_ada(course, tmp_path)


def without_processes(course: CourseFolder) -> None:
    """From now on a hook that nobody answers fails."""
    for hook in (course.repository("ada", "mnist-train") / "hooks").iterdir():
        hook.write_text(hook.read_text().replace("-m pipeline.cli.hook", "-m no.hook"))


def test_pushes_are_taken_refused_and_followed_without_a_process_of_their_own(
    course: CourseFolder, clone: Clone
) -> None:
    without_processes(course)
    first, builds = clone.commit("x = 1\n"), ScriptedBuilds()
    with answering_hooks(course):
        assert course.hook_socket.stat().st_mode & 0o777 == 0o600
        assert "remote: submission" in clone.push()
        assert [one.new for one in spooled(course)] == [first]
        with dispatching(course, builds):
            second = clone.commit("x = 2\n")
            threading.Thread(target=finish_when_started, args=(builds, 2)).start()
            assert "remote: passed, 100 of 100 points" in clone.push(PIPELINE_PUSH_FOLLOWS="1")
        clone.git("commit", "-q", "--amend", "-m", "another")
        assert "refused: main was rewritten" in clone.push("--force", "origin", "main", check=False)
    assert len(builds.started) == 2
    assert second


def finish_when_started(builds: ScriptedBuilds, number: int) -> None:
    while len(builds.started) < number:
        builds.finish_all()
        time.sleep(0.05)
    builds.finish_all()


def test_a_push_goes_on_by_itself_where_the_server_goes_or_hangs(course: CourseFolder, clone: Clone) -> None:
    commit = clone.commit("x = 1\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(course.hook_socket))
        listener.listen()

        def fail() -> None:
            connection, _ = listener.accept()
            connection.recv(64)
            connection.sendall(b".\n+one line\n+half a li")
            connection.close()
            with listener.accept()[0] as hanging:
                done.wait(60)
                assert hanging

        done = threading.Event()
        threading.Thread(target=fail).start()
        said = clone.push()
        done.set()
    assert "remote: one line" in said
    assert "remote: submission" in said
    assert [one.new for one in spooled(course)] == [commit]


def test_a_server_that_falls_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_client, "SILENT_S", 0.05)
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b".\n")
        assert hook_client.received(here) == b".\n"
        with pytest.raises(TimeoutError):
            hook_client.received(here)


def test_who_waits_hears_that_the_server_is_there() -> None:
    here, there = socket.socketpair()
    with here, there:
        Connected(there).wait(0.0)
        assert here.recv(10) == b".\n"


def test_a_pusher_who_goes_is_followed_no_more(course: CourseFolder, clone: Clone) -> None:
    clone.commit("x = 1\n")
    command = ["git", "-C", str(clone.folder), "push", "origin", "main"]
    environment = {**os.environ, **STUDENT, "PIPELINE_PUSH_FOLLOWS": "1"}
    with answering_hooks(course) as server, dispatching(course, ScriptedBuilds()):
        assert server is not None
        told = {"stderr": subprocess.PIPE, "text": True, "env": environment}
        with subprocess.Popen(command, start_new_session=True, **told) as push:
            assert push.stderr is not None
            assert any("submission" in line for line in push.stderr)
            os.killpg(push.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while server.busy:
            assert time.monotonic() < deadline, "the thread stays"
            time.sleep(0.05)
