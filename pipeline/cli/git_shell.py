"""What sshd runs in place of a shell: `python -m pipeline.cli.git_shell COURSE STUDENT`. git on own repositories alone.

sshd hands over what the client asked for in SSH_ORIGINAL_COMMAND; it is matched as a whole, and no shell reads it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from pipeline.cli.output import show_error, tolerate_any_text
from pipeline.errors import PipelineError, UsageError
from pipeline.git_source import ENVIRONMENT
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import read_members

ASKED = re.compile(r"(git-receive-pack|git-upload-pack) '/?(?:git/)?([a-z0-9-]{1,63})/([a-z0-9-]{1,63})\.git'")
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
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "GIT_PROTOCOL"}}
    followed = {name: value for name, value in os.environ.items() if name.startswith("PIPELINE_")}
    return os.execvpe(command[0], command, ENVIRONMENT | kept | followed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
