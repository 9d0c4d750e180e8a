"""What a pusher sees of a submission: its place in the queue, the log as it grows, the checks, where the report is.

It only reads: a pusher who disconnects changes nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.lock import held
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.places import Places
from pipeline.text import printable

LOOK_S, WAITING_LOOK_S = 0.25, 1.0
"""Of a log that grows; and of a queue, at which many may look at once."""
MOST_S = 1800.0
DISPATCHER_S = 10.0
"""So long a dispatcher may be away, being started anew say, before the pusher is let go."""
CLOSING = "the server stops now; your submission is kept, and goes on when it starts again"
NO_DISPATCHER = "kept; no dispatcher runs at present, and it will be graded when one does"
LINE_BYTES = 64 * 1024
NUMBER = re.compile(r"^\d+")
# what Jenkins' timestamper writes before each line
TIMESTAMP = re.compile(r"^\[\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?Z?\] ?")


class ConsoleTail:
    """The lines of a growing file, each once, made harmless for a terminal. One without an end comes in pieces."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        self.begun = b""

    def lines(self, *, last: bool = False) -> Iterator[str]:
        """What is new, up to the last whole line; with `last` to the end."""
        while data := self.read():
            *whole, self.begun = (self.begun + data).split(b"\n")
            if len(self.begun) > LINE_BYTES:
                whole, self.begun = [*whole, self.begun], b""
            for line in whole:
                yield from shown(line)
        if last and self.begun:
            yield from shown(self.begun)
            self.begun = b""

    def read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self.at)
                data = file.read(LINE_BYTES)
        except FileNotFoundError:
            return b""
        self.at += len(data)
        return data


def shown(line: bytes) -> list[str]:
    return printable(TIMESTAMP.sub("", line.decode("utf-8", "replace"))).split("\n")


def follow(
    course: CourseFolder,
    places: Places,
    submission: str,
    *,
    most_s: float = MOST_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """Lines for the pusher until the submission is over, is parked, or `most_s` seconds have passed."""
    begun, known = clock(), ""
    missed = begun
    tail = ConsoleTail(course.console(submission))
    while True:
        entry = places.spool.get(submission)
        if entry.state in {State.STARTED, State.GRADED}:
            yield from tail.lines(last=entry.state is State.GRADED)
        if entry.state.is_over or entry.state is State.PARKED:
            yield from ending(course, entry)
            return
        line, news = waiting_line(course, places, entry)
        if line and news != known:
            yield line
        known = news or known
        if course.closing_file.exists():
            yield CLOSING
            return
        if line != NO_DISPATCHER:
            missed = clock()
        elif clock() > missed + DISPATCHER_S:
            return
        if clock() > begun + most_s:
            yield f"it goes on without you; submission {entry.short} is at {address(course, entry)}"
            return
        sleep(WAITING_LOOK_S if entry.state is State.WAITING else LOOK_S)


def waiting_line(course: CourseFolder, places: Places, entry: Entry) -> tuple[str, str]:
    """What is said while it waits, and what of it is worth a line of its own when it changes."""
    if entry.state is State.STARTED:
        line = f"waiting for the build server: {entry.reason}" if entry.reason else ""
        return line, line
    if not held(course.dispatcher_lock):
        return NO_DISPATCHER, NO_DISPATCHER
    place = places.of(entry.id)
    if place is None:
        return "", ""
    line = f"waiting, place {place.number} of {place.waiting}: {place.reason}"
    return line, f"{place.number} {NUMBER.sub('', place.reason)}"  # others who come behind, or run, are no news


def ending(course: CourseFolder, entry: Entry) -> list[str]:
    """How it ended, in one or two lines."""
    if entry.state is State.SUPERSEDED:
        return [f"superseded by your newer push {entry.superseded_by[:10]}; it cost no attempt"]
    if entry.state is State.REFUSED:
        return [f"refused: {entry.reason}; it cost no attempt"]
    if entry.state is State.PARKED:
        return [f"not graded yet, and not your fault: {entry.reason}; the staff see it, nothing is to be done by you"]
    points = "" if entry.points is None else f", {entry.points:g} of {entry.most_points or 0:g} points"
    outcome = entry.outcome.value if entry.outcome else "ended"
    return [f"{outcome}{points} (attempt {entry.attempt}{of_how_many(course, entry)})", f"report: {entry.build_url}"]


def of_how_many(course: CourseFolder, entry: Entry) -> str:
    """What follows the number of an attempt where the student has so many and no more."""
    try:
        assignment = course.course().assignment_of(entry.student, entry.assignment)
    except PipelineError:
        return ""
    return f" of {assignment.attempts}" if assignment and assignment.attempts else ""


def address(course: CourseFolder, entry: Entry) -> str:
    return entry.build_url or str(course.build(entry.id))
