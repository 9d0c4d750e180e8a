"""The dispatcher as a process: one at a time works on a course's spool, until it is told to stop."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.errors import PipelineError, UsageError
from pipeline.submissions.dispatcher import Dispatcher
from pipeline.submissions.folder import CourseFolder

PAUSE_S = 0.25


@contextmanager
def only_dispatcher(course: CourseFolder) -> Iterator[None]:
    """Raises UsageError where another one works on the course."""
    course.dispatcher_lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with course.dispatcher_lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"a dispatcher works on {course.folder} already", hint="one is enough; stop it first"
            ) from None
        file.truncate(0)
        json.dump({"pid": os.getpid()}, file)
        file.flush()
        yield


def dispatch(dispatcher: Dispatcher, stopping: threading.Event, complain: Callable[[str], None]) -> None:
    """Steps until `stopping` is set. What goes wrong in one is complained of once, and the next tries again."""
    said = ""
    while not stopping.is_set():
        try:
            dispatcher.step()
            said = ""
        except (PipelineError, OSError) as error:
            if str(error) != said:
                said = str(error)
                complain(said)
        stopping.wait(PAUSE_S)
