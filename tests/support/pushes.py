"""A student's clone that really pushes, and a dispatcher of this process."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.submissions.dispatcher import Dispatcher, Settings
from pipeline.submissions.dispatching import dispatch, only_dispatcher
from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student
from support.submissions import ScriptedBuilds, course_folder

STUDENT = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Clone:
    """A student's clone; commands of git in it."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "-q", str(repository), str(folder)], check=True, capture_output=True)
        self.git("checkout", "-q", "-B", "main")

    def git(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **STUDENT, "PIPELINE_PUSH_FOLLOWS": "0", **variables}
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True, env=environment, timeout=120)

    def commit(self, text: str) -> str:
        (self.folder / "model.py").write_text(text)
        self.git("add", "model.py")
        self.git("commit", "-q", "-m", "work")
        return self.git("rev-parse", "HEAD").stdout.strip()

    def push(self, *arguments: str, check: bool = True, **variables: str) -> str:
        return self.git("push", *(arguments or ("origin", "main")), check=check, **variables).stderr


def course_of_ada(folder: Path) -> CourseFolder:
    """A course that ada may push to."""
    made = course_folder(folder)
    add_student(made, "ada")
    return made


def clone_of_ada(course: CourseFolder, folder: Path) -> Clone:
    return Clone(folder / "clone", course.repository("ada", "mnist-train"))


def spooled(course: CourseFolder) -> list[Entry]:
    return Spool(course.spool).active()


@contextmanager
def dispatching(course: CourseFolder, builds: ScriptedBuilds) -> Iterator[None]:
    """A dispatcher of this process at work."""
    stopping = threading.Event()
    dispatcher = Dispatcher(course, Spool(course.spool), builds, Settings(slots=1))
    with only_dispatcher(course):
        worker = threading.Thread(target=dispatch, args=(dispatcher, stopping, print))
        worker.start()
        try:
            yield
        finally:
            stopping.set()
            worker.join()
