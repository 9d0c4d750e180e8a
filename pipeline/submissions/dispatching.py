"""The dispatcher as a process: one at a time works on a course's spool, until it is told to stop."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.errors import PipelineError, UsageError
from pipeline.files import machine_fault
from pipeline.lock import taken
from pipeline.submissions.dispatcher import Dispatcher
from pipeline.submissions.folder import CourseFolder

PAUSE_S = 0.25
AGAIN_S = 600.0
MOST_FAULTS = 3


@contextmanager
def only_dispatcher(course: CourseFolder) -> Iterator[None]:
    """Raises UsageError where another one works on the course."""
    course.dispatcher_lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with course.dispatcher_lock.open("a+") as file:
        if not taken(file):
            raise UsageError(f"a dispatcher works on {course.folder} already", hint="one is enough; stop it first")
        course.closing_file.unlink(missing_ok=True)
        file.truncate(0)
        json.dump({"pid": os.getpid()}, file)
        file.flush()
        yield


def dispatch(dispatcher: Dispatcher, stopping: threading.Event, complain: Callable[[str], None]) -> None:
    """Steps until `stopping` is set. What goes wrong is tried again, and complained of once in a while."""
    said: dict[str, float] = {}
    while not stopping.is_set():
        for trouble in went_wrong(dispatcher):
            if said.get(trouble, -AGAIN_S) <= time.monotonic() - AGAIN_S:
                said[trouble] = time.monotonic()
                complain(trouble)
        stopping.wait(PAUSE_S)


def went_wrong(dispatcher: Dispatcher) -> list[str]:
    """One step; what could not be done in it."""
    try:
        dispatcher.step()
    except PipelineError as error:
        return [*dispatcher.troubles, "; ".join([str(error), *(str(one) for one in error.faults[:MOST_FAULTS])])]
    except OSError as error:
        return [*dispatcher.troubles, machine_fault(error).message]
    return dispatcher.troubles
