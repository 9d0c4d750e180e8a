"""What git's hooks run: `python -m pipeline.cli.hook NAME COURSE STUDENT ASSIGNMENT`; the pusher reads its output."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from pathlib import Path

from pipeline.cli.streams import discard, tolerate_any_text
from pipeline.errors import PipelineError
from pipeline.files import machine_fault
from pipeline.submissions.arrivals import known_of, spool_pushes
from pipeline.submissions.entry import now
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.follow import MOST_S, follow
from pipeline.submissions.references import politely, read_updates, unreadable
from pipeline.submissions.spool import Spool
from pipeline.text import printable

UPDATES_BYTES = 64 * 1024


def pre_receive(course: CourseFolder, student: str, assignment_name: str, told: str) -> int:
    """0 lets the push in; 1 refuses it as a whole, with every reason."""
    from pipeline.submissions.receiving import refusals, rewritten, too_much  # git's client, which the other needs not

    updates = read_updates(told)
    repository = course.repository(student, assignment_name)
    assignment = course.course().assignment(assignment_name)
    known = known_of(course, Spool(course.spool), student, assignment_name)
    found = unreadable(told, UPDATES_BYTES) or refusals(updates, assignment, known, student, now())
    found += rewritten(repository, updates)
    if assignment is not None:
        found += too_much(repository, updates, assignment.limits.source_mb)
    for reason in found:
        say(f"refused: {reason}")
    return 1 if found else 0


def post_receive(course: CourseFolder, student: str, assignment: str, told: str) -> int:
    """Spools first, then speaks: what was pushed is kept whether anybody listens or not."""
    updates = read_updates(told)
    spool = Spool(course.spool)
    graded = [one.new for one in updates if one.is_graded and not one.deletes]
    if graded:
        spool_pushes(course, spool, student, assignment)
    for line in politely(updates):
        say(f"{line}")
    known = known_of(course, spool, student, assignment) if graded else []
    entry = max((one for one in known if one.new in graded), key=lambda one: one.arrived, default=None)
    if entry is None:
        return 0
    say(f"submission {entry.short} of {entry.assignment}, arrived {entry.arrived:%Y-%m-%d %H:%M:%S} UTC")
    how = os.environ.get("PIPELINE_PUSH_FOLLOWS")
    if how != "0":
        longest = 0.0 if how == "briefly" else MOST_S
        for line in follow(course, spool, entry.id, most_s=longest, sleep=wait_while_read):
            say(f"{line}")
    return 0


def say(line: str) -> None:
    """What a build server or a run says of a student's work goes to a terminal. Raises BrokenPipeError."""
    print(printable(line), flush=True)


def wait_while_read(seconds: float) -> None:
    """Raises BrokenPipeError as soon as the pusher has gone, though there is nothing to say."""
    gone = select.poll()
    gone.register(sys.stdout.fileno(), 0)
    if gone.poll(seconds * 1000):
        raise BrokenPipeError


HOOKS = {"pre-receive": pre_receive, "post-receive": post_receive}


def main(arguments: list[str]) -> int:
    """Raises nothing; a fault of ours in pre-receive refuses the push, as one in post-receive cannot."""
    tolerate_any_text()
    try:
        name, folder, student, assignment = arguments
        told = sys.stdin.buffer.read(UPDATES_BYTES + 1).decode("utf-8", "replace")
        return HOOKS[name](CourseFolder.open(Path(folder)), student, assignment, told)
    except (BrokenPipeError, KeyboardInterrupt):  # nobody listens any more; what was to be refused stays so
        discard(sys.stdout)
        return 1 if arguments[:1] == ["pre-receive"] else 0
    except Exception as error:
        code = failed(error)
    if arguments[:1] == ["post-receive"]:
        with suppress(OSError):
            say("your push is kept all the same, and is graded when the staff have mended this")
    return code


def failed(error: Exception) -> int:
    """Says what went wrong in words for a student; the exit code."""
    if isinstance(error, OSError):
        error = machine_fault(error)
    from pipeline.cli.app import own_fault  # the whole command line, which no push needs that goes well
    from pipeline.cli.output import show_error

    if isinstance(error, PipelineError):
        show_error(error)
        return error.exit_code
    return own_fault(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
