"""What a push may do, decided before any reference moves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from git import GitCommandError

from pipeline.git_process import BOUNDED
from pipeline.git_source import command, guarded, options
from pipeline.settings import Assignment
from pipeline.source import MB
from pipeline.submissions.arrivals import attempts_used
from pipeline.submissions.entry import Entry
from pipeline.submissions.hook_client import QUARANTINE
from pipeline.submissions.references import BRANCH, Update

MOST_REFERENCES = 64
KEPT_PUSHES = 20
"""A repository may hold so many times what one submission may have: its history."""


def refusals(
    updates: list[Update], assignment: Assignment | None, entries: list[Entry], student: str, at: datetime
) -> list[str]:
    """Why a push is refused by the course's rules, each reason with what to do. Empty: it is accepted."""
    if not any(one.is_graded for one in updates):
        return []
    if assignment is None:
        return ["this assignment is not in the course any more; ask the staff"]
    found = []
    if any(one.is_graded and one.deletes for one in updates):
        found.append(f"{BRANCH} is what is graded and cannot be deleted; push a commit that undoes the last one")
    last = assignment.open_until
    if last is not None and assignment.is_too_late(at):
        found.append(f"it is too late: {assignment.name} was open until {last:%Y-%m-%d %H:%M %Z}; ask the staff")
    used = attempts_used(entries, student, assignment.name)
    if assignment.attempts is not None and used >= assignment.attempts:
        found.append(f"all {assignment.attempts} attempts at {assignment.name} are used; ask the staff")
    return found


def rewritten(repository: Path, updates: list[Update], variables: Mapping[str, str]) -> list[str]:
    """Why a push of the graded branch is refused for rewriting what was pushed before.

    The new objects lie where git's `variables` say, until the push is let in.
    """
    quarantine = {name: variables[name] for name in QUARANTINE if name in variables}
    return [
        f"{BRANCH} was rewritten (force-push), and what was submitted stays; `git pull` first, or push a new commit"
        for one in updates
        if one.is_graded
        and not one.deletes
        and not one.creates
        and not is_ancestor(repository, one.old, one.new, quarantine)
    ]


def is_ancestor(repository: Path, old: str, new: str, quarantine: Mapping[str, str]) -> bool:
    try:
        asked(repository, ["merge-base", "--is-ancestor", old, new], quarantine)
    except GitCommandError:
        return False
    return True


def asked(repository: Path, words: Sequence[str], quarantine: Mapping[str, str] = MappingProxyType({})) -> str:
    """What git says of a student's repository, within the bounds of whatever serves the student."""
    git = guarded(repository)
    return str(git.execute([*BOUNDED, *command(options(repository, None), words)], env=dict(quarantine)))


def too_much(repository: Path, updates: list[Update], most_mb: float) -> list[str]:
    """Why a push is refused for its size: of the whole repository, and of its references."""
    found = []
    size = size_of(repository / "objects")
    if size > most_mb * KEPT_PUSHES * MB:
        found.append(
            f"the repository would hold {size / MB:.0f} MB of at most {most_mb * KEPT_PUSHES:.0f}; "
            "keep data and results out of it, and ask the staff for a new one"
        )
    new = sum(one.creates for one in updates)
    if not new:
        return found
    references = len(asked(repository, ["for-each-ref", "--format=%(objectname)"]).split())
    references += new - sum(one.deletes for one in updates)
    if references > MOST_REFERENCES:
        found.append(
            f"the repository would have {references} branches and tags of at most {MOST_REFERENCES}; delete some"
        )
    return found


def size_of(folder: Path) -> int:
    """Bytes of all files below `folder`; another push may move some of them while we look."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += Path(place, name).lstat().st_size
    return size
