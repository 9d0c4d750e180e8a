"""What git's hooks run: `python -m pipeline.cli.hook NAME COURSE STUDENT ASSIGNMENT`; the pusher reads its output.

Where a server answers, `pipeline/submissions/hook_client.py` has it do the work, and this is for when none does.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from pathlib import Path

from pipeline.cli.streams import discard, tolerate_any_text
from pipeline.errors import CourseError, InfrastructureError, PipelineError
from pipeline.files import machine_fault
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.hook_client import UPDATES_BYTES
from pipeline.submissions.hooks import HOOKS, Push
from pipeline.submissions.places import Places
from pipeline.submissions.spool import Spool
from pipeline.text import printable


class Terminal:
    """The pusher at the other end of standard output."""

    def say(self, line: str) -> None:
        """What a build server or a run says of a student's work goes to a terminal. Raises BrokenPipeError."""
        print(printable(line), flush=True)

    def wait(self, seconds: float) -> None:
        """Raises BrokenPipeError as soon as the pusher has gone, though there is nothing to say."""
        gone = select.poll()
        gone.register(sys.stdout.fileno(), 0)
        if gone.poll(seconds * 1000):
            raise BrokenPipeError


def main(arguments: list[str]) -> int:
    """Raises nothing; a fault of ours in pre-receive refuses the push, as one in post-receive cannot."""
    tolerate_any_text()
    pusher = Terminal()
    try:
        name, folder, student, assignment = arguments
        told = sys.stdin.buffer.read(UPDATES_BYTES + 1).decode("utf-8", "replace")
        course = CourseFolder.open(Path(folder))
        return HOOKS[name](course, Places(Spool(course.spool)), Push(student, assignment, told, os.environ), pusher)
    except (BrokenPipeError, KeyboardInterrupt):  # nobody listens any more; what was to be refused stays so
        discard(sys.stdout)
        return 1 if arguments[:1] == ["pre-receive"] else 0
    except Exception as error:
        code = failed(error)
    if arguments[:1] == ["post-receive"]:
        with suppress(OSError):
            pusher.say("your push is kept all the same, and is graded when the staff have mended this")
    return code


def failed(error: Exception) -> int:
    """Says what went wrong in words for a student; the exit code."""
    if isinstance(error, OSError):
        error = machine_fault(error)
    from pipeline.cli.app import own_fault  # the whole command line, which no push needs that goes well
    from pipeline.cli.output import show_error

    if isinstance(error, CourseError):
        # what is wrong with them is said where the dispatcher runs: its words may quote what no student is to read
        error = InfrastructureError(
            "the course's settings cannot be read at present",
            hint="tell the staff, and push again when they are mended",
        )
    if isinstance(error, PipelineError):
        show_error(error)
        return error.exit_code
    return own_fault(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
