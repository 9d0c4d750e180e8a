"""Builds without Jenkins: a worker process for each, `pipeline run` with the submission's id."""

from __future__ import annotations

import os
import subprocess

from pipeline.backends.ci import Look
from pipeline.embedded.processes import own_environment, own_module
from pipeline.errors import ThrottledError, UsageError
from pipeline.lock import held, stop_holder, taken, write_holder
from pipeline.run import Run, Status
from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder
from pipeline.text import one_line

STOPPING_S = 2.0
NICENESS = 10
"""Builds give way to whoever pushes, follows or looks at a page, and to the dispatcher: it may be many at a time."""


class LocalBuilds:
    """Implements `Builds`.

    The worker's lock is taken before it is started and handed down to it open: whoever holds it is the build, no kill
    comes between, and a second worker of the same submission cannot be.
    """

    def __init__(self, course: CourseFolder, url: str = "") -> None:
        self.course = course
        self.url = url
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, entry: Entry) -> None:
        folder = self.course.build(entry.id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("a+") as lock:
            if not taken(lock):
                raise ThrottledError("its last build has not ended yet", wait_s=STOPPING_S)
            lock.truncate(0)
            with self.course.console(entry.id).open("ab") as console:
                worker = subprocess.Popen(
                    own_module("pipeline", *self.arguments(entry)),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    env=own_environment(),
                    cwd=folder,
                    pass_fds=(lock.fileno(),),
                    start_new_session=True,
                )
            os.setpriority(os.PRIO_PROCESS, worker.pid, NICENESS)
            self.workers.append(worker)
            write_holder(lock, worker.pid)

    def arguments(self, entry: Entry) -> list[str]:
        """Begins the run, or goes on with the one of this id that an earlier worker left."""
        return [
            *("run", entry.repository, "--ref", entry.new, "--student", entry.student, "--id", entry.id),
            *("--course", str(self.course.course_file), "--assignment", entry.assignment),
            *("--out", str(self.course.run(entry.id))),
            *("--arrived", entry.arrived.isoformat(), "--attempt", str(entry.attempt)),
        ]

    def look(self, entry: Entry) -> Look:
        self.workers = [one for one in self.workers if one.poll() is None]
        url = f"{self.url}/submissions/{entry.id}" if self.url else str(self.course.run(entry.id) / "report.html")
        if held(self.course.build(entry.id) / "lock"):
            return Look("running", url=url)
        try:
            record = Run.open(self.course.run(entry.id)).record
        except UsageError:
            return Look("lost", self.last_words(entry), url=url)
        if record.outcome is None or record.stage("report").status is not Status.DONE:
            return Look("lost", self.last_words(entry), url=url)
        most = record.checked.assignment.max_points if record.checked else None
        return Look("ended", record.reason, record.outcome, record.points, most, url)

    def last_words(self, entry: Entry) -> str:
        """The last error or line on the console, for a worker that ended without a record."""
        try:
            with self.course.console(entry.id).open("rb") as console:
                console.seek(max(0, os.fstat(console.fileno()).st_size - 4096))
                lines = console.read().decode(errors="replace").strip().splitlines()
        except FileNotFoundError:
            return "it was not started"
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return one_line([*lines, *errors][-1]) if lines else "it ended without a word"

    def cancel(self, entry: Entry) -> None:
        """The worker ends its run in order: what it held is free, and another start goes on with it.

        The run's lock names the worker also where its starter was killed before it could; the worker's own one is
        held before the run is there, and until the last word is said.
        """
        stop_holder(self.course.run(entry.id) / "private" / "lock")
        stop_holder(self.course.build(entry.id) / "lock")
