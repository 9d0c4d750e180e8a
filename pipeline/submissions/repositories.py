"""Bare repositories that students push to: one owner each, hooks in place, reflogs kept for ever."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from git import Git, GitCommandError

from pipeline.files import sync_folder, write_text
from pipeline.git_source import guarded
from pipeline.settings import Course
from pipeline.source import MB, remove_folder
from pipeline.submissions import hook_client
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.references import BRANCH
from pipeline.submissions.reflogs import repositories

SIZE = re.compile(r"(?mi)^\s*maxInputSize\s*=\s*(\d+)\s*$")
HOOKS = ("pre-receive", "post-receive")
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


def bound_sizes(course: CourseFolder, settings: Course, complain: Callable[[str], None]) -> None:
    """Sets what git lets a push bring, wherever the course's settings say otherwise by now."""
    for _, assignment, repository in repositories(course):
        asked = settings.assignment(assignment)
        try:
            if asked is not None and bound_of(repository) != (wanted := size_bound(asked.limits.source_mb)):
                guarded(repository).config("receive.maxInputSize", wanted)
        except (OSError, GitCommandError) as error:
            complain(f"{repository}: {error}")


def bound_of(repository: Path) -> str:
    """As its settings' text says, since many are looked at."""
    found = SIZE.search((repository / "config").read_text(encoding="utf-8", errors="replace"))
    return found[1] if found else ""


def size_bound(most_mb: float) -> str:
    return str(int(most_mb * MB))


def set_up(repository: Path, course: CourseFolder, student: str, assignment: str, most_mb: float) -> None:
    settings = SETTINGS | {"receive.maxInputSize": size_bound(most_mb)}
    git = guarded(repository)
    there = dict(line.partition("=")[::2] for line in git.config("--local", "--list").splitlines())
    for key, value in settings.items():
        if there.get(key.lower()) != value:  # each costs a process, and a course may have hundreds of repositories
            git.config(key, value)
    hooks = repository / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        write_text(hooks / name, hook(name, course, student, assignment), mode=0o755)


def hook(name: str, course: CourseFolder, student: str, assignment: str) -> str:
    """The hook's text: who pushes and where is written here, so that no variable of the pusher's decides it."""
    command = [sys.executable, "-P", "-m", "pipeline.cli.hook", name, str(course.folder), student, assignment]
    asking = [sys.executable, "-I", "-S", str(hook_client.__file__), str(course.hook_socket)]
    return f"#!/bin/sh\nexec {shlex.join([*asking, *command])}\n"
