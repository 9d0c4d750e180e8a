"""What sshd runs in place of a shell: `python -m pipeline.cli.git_shell COURSE STUDENT`. git on own repositories alone.

sshd hands over what the client asked for in SSH_ORIGINAL_COMMAND; it is matched as a whole, and no shell reads it.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

from pipeline.cli.output import show_error
from pipeline.cli.streams import tolerate_any_text
from pipeline.course import VARIABLES
from pipeline.errors import PipelineError, UsageError
from pipeline.files import machine_fault
from pipeline.git_source import ENVIRONMENT
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import read_members
from pipeline.submissions.repositories import MEMORY_KB, PROCESSOR_S

ASKED = re.compile(r"(git-receive-pack|git-upload-pack) '/?(?:git/)?([a-z0-9-]{1,63})/([a-z0-9-]{1,63})\.git'")
PROTOCOL = re.compile(r"version=[0-2]")
FOLLOWS = "PIPELINE_PUSH_FOLLOWS"
NOT_YOURS = "there is no such repository, or it is another's"


def asked_for(course: CourseFolder, student: str, command: str) -> list[str]:
    """The command that may be run for what a client asked. Raises UsageError."""
    match = ASKED.fullmatch(command)
    if match is None:
        raise UsageError("only git's push and fetch are possible here", hint="git clone HOST:STUDENT/ASSIGNMENT.git")
    service, owner, assignment = match.groups()
    known = student in read_members(course)
    if owner != student or not known or not course.repository(owner, assignment).is_dir():
        raise UsageError(NOT_YOURS, hint="the staff can tell you its address")
    return ["git", service.removeprefix("git-"), str(course.repository(owner, assignment))]


def main(arguments: list[str]) -> int:
    tolerate_any_text()
    try:
        folder, student = arguments
        command = asked_for(CourseFolder.open(Path(folder)), student, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    except PipelineError as error:
        show_error(error)
        return error.exit_code
    except OSError as error:
        fault = machine_fault(error)
        show_error(fault)
        return fault.exit_code
    for kind, most in ((resource.RLIMIT_DATA, MEMORY_KB * 1024), (resource.RLIMIT_CPU, PROCESSOR_S)):
        resource.setrlimit(kind, (most, most))
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    if PROTOCOL.fullmatch(os.environ.get("GIT_PROTOCOL", "")):
        kept["GIT_PROTOCOL"] = os.environ["GIT_PROTOCOL"]
    # sshd may be set up to take variables from the client
    kept |= {name: os.environ[name] for name in (*VARIABLES, FOLLOWS) if name in os.environ}
    return os.execvpe(command[0], command, ENVIRONMENT | kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
