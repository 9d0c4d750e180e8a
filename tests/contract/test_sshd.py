"""A real sshd with the lines of `pipeline course keys`: a key opens git on its owner's repositories, nothing else."""

from __future__ import annotations

import getpass
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pushes import Clone, dispatching, spooled
from support.runs import command
from support.sshd import Sshd, make_key, sshd
from support.submissions import ScriptedBuilds, course_folder

from pipeline.errors import USAGE_EXIT_CODE
from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import read_key
from pipeline.submissions.staff import add_student

PATH = "ada/mnist-train.git"


class AtOnce(ScriptedBuilds):
    """Builds that pass as soon as they are started."""

    def start(self, entry: Entry) -> None:
        super().start(entry)
        self.finish(entry.id)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> CourseFolder:
    return course_folder(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def server(course: CourseFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Ada and Bob are of the course, Mallory has a key of her own."""
    folder = tmp_path_factory.mktemp("sshd")
    for student in ("ada", "bob"):
        add_student(course, student, (read_key(make_key(folder, student)),))
    make_key(folder, "mallory")
    told = subprocess.run(command("course", "keys", course.folder), check=True, capture_output=True, text=True)
    with sshd(folder, told.stdout) as running:
        yield running


@pytest.fixture
def clone(course: CourseFolder, tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone", course.repository("ada", "mnist-train"))


def test_a_student_pushes_to_the_grade_and_fetches(
    server: Sshd, course: CourseFolder, clone: Clone, tmp_path: Path
) -> None:
    commit, ssh = clone.commit("x = 1\n"), shlex.join(server.client("ada"))
    with dispatching(course, AtOnce()):
        said = clone.push(server.address(PATH), "main", GIT_SSH_COMMAND=ssh)
    assert "remote: submission" in said
    assert "remote: passed, 100 of 100 points (attempt 1 of 20)" in said
    clone.git("clone", "-q", server.address(PATH), str(tmp_path / "again"), GIT_SSH_COMMAND=ssh)
    again = subprocess.run(["git", "-C", str(tmp_path / "again"), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert again.stdout.strip() == commit


@pytest.mark.parametrize(
    ("student", "asked", "says"),
    [
        ("bob", "push", "or it is another's"),
        ("bob", "fetch", "or it is another's"),
        ("mallory", "fetch", "Permission denied"),
    ],
)
def test_another_can_neither_push_nor_fetch(
    server: Sshd, course: CourseFolder, clone: Clone, student: str, asked: str, says: str
) -> None:
    clone.commit("x = 2\n")
    branch = ["main:main"] if asked == "push" else []
    ssh = shlex.join(server.client(student))
    refused = clone.git(asked, server.address(PATH), *branch, check=False, GIT_SSH_COMMAND=ssh)
    assert refused.returncode
    assert says in refused.stderr
    assert spooled(course) == []


@pytest.mark.parametrize("asked", ["id", "", "-s sftp"])
def test_a_key_opens_no_shell_and_no_files(server: Sshd, asked: str) -> None:
    line = [*server.client("bob"), f"{getpass.getuser()}@127.0.0.1", *asked.split()]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (USAGE_EXIT_CODE, "")


def test_a_key_opens_no_way_into_the_servers_network(server: Sshd) -> None:
    """`-W` asks sshd for a connection to itself."""
    line = [*server.client("bob"), "-W", f"127.0.0.1:{server.port}", f"{getpass.getuser()}@127.0.0.1"]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "administratively prohibited" in done.stderr
