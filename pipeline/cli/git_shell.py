"""What sshd runs in place of a shell: `python -m pipeline.cli.git_shell COURSE STUDENT`. git on own repositories alone.

sshd hands over what the client asked for in SSH_ORIGINAL_COMMAND; it is matched as a whole, and no shell reads it.
Each push starts this: it imports no more than it needs (tests/unit/test_imports.py).
"""

from __future__ import annotations

import fcntl
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
from pipeline.submissions.folder import MEND_MEMBERS, CourseFolder

ASKED = re.compile(r"(git-receive-pack|git-upload-pack) '/?(?:git/)?([a-z0-9-]{1,63})/([a-z0-9-]{1,63})\.git'")
PROTOCOL = re.compile(r"version=[0-2]")
FOLLOWS = "PIPELINE_PUSH_FOLLOWS"
AT_ONCE = 16
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


def take_place(folder: Path, student: str) -> int:
    """One of the places that a student has, a lock that git holds until it ends. Raises UsageError where none is free.

    A push may use as much memory as `git_process` says: nobody's fill the machine.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(AT_ONCE):
        descriptor = os.open(folder / f"{student}.{number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            os.set_inheritable(descriptor, True)
            return descriptor
    raise UsageError(
        f"{AT_ONCE} of your pushes and fetches run already", hint="wait for one of them to end, then try again"
    )


def is_member(course: CourseFolder, student: str) -> bool:
    """By the names alone of those in `members.json`. Raises InfrastructureError where it cannot be read."""
    try:
        return student in dict(json.loads(course.members_file.read_bytes()))
    except FileNotFoundError:
        return False
    except (ValueError, TypeError) as error:
        raise InfrastructureError(f"{course.members_file} cannot be read", hint=MEND_MEMBERS) from error


def main(arguments: list[str]) -> int:
    tolerate_any_text()
    try:
        folder, student = arguments
        course = CourseFolder.open(Path(folder))
        command = asked_for(course, student, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
        take_place(course.ssh_places, student)
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
