"""Tells staff, by a command of their choice, that submissions are parked: on deadline night nobody looks at pages."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.embedded.processes import own_environment
from pipeline.errors import PipelineError
from pipeline.files import write_json
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.text import one_line

LOOK_S = 10.0
APART_S = 300.0
"""From one alert to the next: where a server has failed, one submission after another is parked."""
COMMAND_S = 60.0
MOST_NAMED = 20


class Alerts:
    """What is parked is told of once, also across restarts; again when it was tried again and is parked anew."""

    def __init__(
        self, course: CourseFolder, complain: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.course = course
        self.spool = Spool(course.spool)
        self.complain = complain
        self.clock = clock
        self.not_before = clock()

    def look(self) -> None:
        """Calls the command where there is one and something new; complains where that cannot be done."""
        if self.clock() < self.not_before:
            return
        try:
            settings = self.course.course()
            parked = {key(one): one for one in self.spool.active() if one.state is State.PARKED}
            told = self.told()
            new = [one for name, one in parked.items() if name not in told]
            if settings.alert and new:
                self.not_before = self.clock() + APART_S
                call(settings.alert, words(settings.name, self.course, new))
            if settings.alert and told != parked.keys():
                write_json(self.course.alerted_file, sorted(parked))
        except (PipelineError, OSError, subprocess.SubprocessError) as error:
            self.not_before = self.clock() + APART_S
            self.complain(f"staff could not be told of parked submissions: {one_line(str(error))}")

    def told(self) -> set[str]:
        """Of which submissions staff were told; none where that cannot be read: once too often is better."""
        try:
            return {str(one) for one in json.loads(self.course.alerted_file.read_text())}
        except (OSError, ValueError, TypeError):
            return set()


def key(entry: Entry) -> str:
    return f"{entry.id} {entry.started}"


def words(name: str, course: CourseFolder, parked: Sequence[Entry]) -> str:
    """The text that the command gets on its standard input."""
    number = f"{len(parked)} submission{' is' if len(parked) == 1 else 's are'}"
    lines = [f"{name}: {number} parked and will not be graded before you act", ""]
    lines += [f"{one.short} {one.student} {one.assignment}: {one_line(one.reason)}" for one in parked[:MOST_NAMED]]
    lines += [f"and {len(parked) - MOST_NAMED} more"] if len(parked) > MOST_NAMED else []
    return "\n".join(
        [*lines, "", f"pipeline queue list {course.folder} shows them; queue retry, queue drop end them", ""]
    )


def call(command: Sequence[str], text: str) -> None:
    """Raises OSError, and SubprocessError where the command fails or takes more than COMMAND_S seconds."""
    subprocess.run(
        command,
        input=text.encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=own_environment(),
        start_new_session=True,
        timeout=COMMAND_S,
        check=True,
    )


@contextmanager
def alerting(course: CourseFolder, complain: Callable[[str], None]) -> Iterator[None]:
    """A thread that looks for as long as the context lasts: a slow command holds up no submission."""
    alerts, over = Alerts(course, complain), threading.Event()

    def keep_looking() -> None:
        while not over.wait(LOOK_S):
            alerts.look()

    thread = threading.Thread(target=keep_looking, name="alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
