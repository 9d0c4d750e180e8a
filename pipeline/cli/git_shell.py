"""What sshd runs in place of a shell: `python -m pipeline.cli.git_shell COURSE STUDENT`. git on own repositories alone.

sshd hands over what the client asked for in SSH_ORIGINAL_COMMAND; it is matched as a whole, and no shell reads it.
Each push starts this: it imports no more than it needs (tests/unit/test_imports.py).
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from pathlib import Path

from pipeline.cli.streams import tolerate_any_text
from pipeline.errors import InfrastructureError, PipelineError, UsageError
from pipeline.files import machine_fault
from pipeline.git_process import ENVIRONMENT, MEMORY_KB, PROCESSOR_S
from pipeline.submissions.folder import CourseFolder

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
    if owner != student or not is_member(course, student) or not course.repository(owner, assignment).is_dir():
        raise UsageError(NOT_YOURS, hint="the staff can tell you its address")
    return ["git", service.removeprefix("git-"), str(course.repository(owner, assignment))]


def is_member(course: CourseFolder, student: str) -> bool:
    """By the names alone of those in `members.json`. Raises InfrastructureError where it cannot be read."""
    try:
        return student in dict(json.loads(course.members_file.read_bytes()))
    except FileNotFoundError:
        return False
    except (ValueError, TypeError) as error:
        raise InfrastructureError(
            f"{course.members_file} cannot be read", hint="restore it, or add the students anew"
        ) from error


def main(arguments: list[str]) -> int:
    tolerate_any_text()
    try:
        folder, student = arguments
        command = asked_for(CourseFolder.open(Path(folder)), student, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    except PipelineError as error:
        return refuse(error)
    except OSError as error:
        return refuse(machine_fault(error))
    for kind, most in ((resource.RLIMIT_DATA, MEMORY_KB * 1024), (resource.RLIMIT_CPU, PROCESSOR_S)):
        resource.setrlimit(kind, (most, most))
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    if PROTOCOL.fullmatch(os.environ.get("GIT_PROTOCOL", "")):
        kept["GIT_PROTOCOL"] = os.environ["GIT_PROTOCOL"]
    # sshd may be set up to take variables from the client: of ours this one, which is the pusher's to choose
    kept |= {name: os.environ[name] for name in (FOLLOWS,) if name in os.environ}
    return os.execvpe(command[0], command, ENVIRONMENT | kept)


def refuse(error: PipelineError) -> int:
    from pipeline.cli.output import show_error  # a terminal's colours, which no push needs that goes well

    show_error(error)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
