"""Bare repositories that students push to: one owner each, hooks in place, reflogs kept for ever."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from git import Git

from pipeline.errors import InfrastructureError
from pipeline.files import sync_folder, write_text
from pipeline.git_source import guarded
from pipeline.source import MB, remove_folder
from pipeline.submissions.folder import CourseFolder

BRANCH = "main"
REF = f"refs/heads/{BRANCH}"
HOOKS = ("pre-receive", "post-receive")
NOTHING = re.compile(r"0+")
# git takes < > and line feeds out of names, and leaves tabs, control characters and bytes that are not UTF-8
REFLOG = re.compile(r"([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [^>\n]*> (\d{1,11}) [+-]\d{4}(?:\t[^\n]*)?")
MEMORY_KB, PROCESSOR_S = 2**20, 600
"""What each process of git that serves a student may use."""
SETTINGS = {
    # bare repositories keep no reflog by themselves, and gc would forget what the reconciler still needs
    "core.logAllRefUpdates": "true",
    "gc.reflogExpire": "never",
    "gc.reflogExpireUnreachable": "never",
    "gc.auto": "0",
    "receive.fsckObjects": "true",
    "receive.autogc": "false",
    "receive.advertisePushOptions": "false",
    "receive.denyDeleteCurrent": "refuse",
    "core.fsync": "all",
    "core.fsyncMethod": "fsync",
    "uploadpack.allowFilter": "false",
}


@dataclass(frozen=True)
class Moved:
    """One line of the graded branch's reflog: a push."""

    old: str
    new: str
    arrived: datetime


def make_repository(course: CourseFolder, student: str, assignment: str, *, most_mb: float) -> Path:
    """The repository of a student or team for an assignment; where it is there already, its hooks and settings anew."""
    target = course.repository(student, assignment)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not target.exists():
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
        try:
            environment = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
            Git(str(partial)).init(
                "--bare", "--quiet", "--template=", f"--initial-branch={BRANCH}", ".", env=environment
            )
            set_up(partial, course, student, assignment, most_mb)
            partial.replace(target)
            sync_folder(target.parent)
        finally:
            if partial.exists():
                remove_folder(partial)
    else:
        set_up(target, course, student, assignment, most_mb)
    return target


def set_up(repository: Path, course: CourseFolder, student: str, assignment: str, most_mb: float) -> None:
    settings = SETTINGS | {"receive.maxInputSize": str(int(most_mb * MB))}
    git = guarded(repository)
    for key, value in settings.items():
        git.config(key, value)
    hooks = repository / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        write_text(hooks / name, hook(name, course, student, assignment), mode=0o755)


def hook(name: str, course: CourseFolder, student: str, assignment: str) -> str:
    """The hook's text: who pushes and where is written here, so that no variable of the pusher's decides it."""
    command = [sys.executable, "-P", "-m", "pipeline.cli.hook", name, str(course.folder), student, assignment]
    return f"#!/bin/sh\nexec {shlex.join(command)}\n"


def pushes(repository: Path) -> list[Moved]:
    """Every push to the graded branch, the earliest first, as its reflog tells. Deletions are none."""
    path = repository / "logs" / REF
    try:
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be read: {error.strerror}", hint="look at its owner") from error
    return list(moves(lines))


def moves(lines: list[str]) -> Iterator[Moved]:
    """A push arrives after the one before it, though it came within the same second, or the clock was set back."""
    last = datetime.min.replace(tzinfo=UTC)
    for line in lines:
        match = REFLOG.fullmatch(line)
        if match and not NOTHING.fullmatch(match[2]):
            last = max(datetime.fromtimestamp(int(match[3]), UTC), last + timedelta(microseconds=1))
            yield Moved(match[1], match[2], last)


def repositories(course: CourseFolder) -> Iterator[tuple[str, str, Path]]:
    """(student, assignment, repository) of each that is there."""
    for path in sorted(course.repositories.glob("*/*.git")):
        yield path.parent.name, path.name.removesuffix(".git"), path
