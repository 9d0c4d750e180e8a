"""The branch that is graded, and what git tells a hook of the references that a push moves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.text import one_line

BRANCH = "main"
REF = f"refs/heads/{BRANCH}"
NOTHING = re.compile(r"0+")
UPDATE = re.compile(r"([0-9a-f]{40,64}) ([0-9a-f]{40,64}) (refs/[^\s\x00-\x1f\x7f]{1,240})")
PLAIN = re.compile(r"[A-Za-z0-9._/-]{1,60}")
"""Branches that can stand in a command as they are."""
MOST_REASONS = 5


@dataclass(frozen=True)
class Update:
    """One reference that a push moves."""

    old: str
    new: str
    ref: str

    @property
    def deletes(self) -> bool:
        return bool(NOTHING.fullmatch(self.new))

    @property
    def creates(self) -> bool:
        return bool(NOTHING.fullmatch(self.old))

    @property
    def is_graded(self) -> bool:
        return self.ref == REF


def read_updates(text: str) -> list[Update]:
    """What git tells a hook on its standard input; `unreadable` names what of it is no update of ours."""
    matches = [UPDATE.fullmatch(line) for line in text.split("\n")]
    return [Update(*match.groups()) for match in matches if match]


def unreadable(text: str, most: int) -> list[str]:
    """Why a push is refused for its references alone: what is not looked at could be the graded branch."""
    if len(text.encode()) > most:
        return ["it moves too many branches and tags at once; push main alone"]
    found = []
    for line in text.split("\n")[:-1]:
        ref = line.split(" ", 2)[-1]
        if not UPDATE.fullmatch(line) or not ref.startswith(("refs/heads/", "refs/tags/")):
            found.append(
                f"{one_line(ref, 100)!r} is no name of a branch or tag that is kept here; give it a plainer one"
            )
        elif ref.startswith(f"{REF}/"):
            found.append(f"{one_line(ref, 100)} would stand in the way of {BRANCH}; give it another name")
    return found[:MOST_REASONS]


def politely(updates: list[Update]) -> list[str]:
    """What is said of references that are not graded: a branch can be submitted after all."""
    return [
        f"{one_line(one.ref, 100)} is kept; only {BRANCH} is graded{submitted_by(one.ref)}"
        for one in updates
        if not one.is_graded and not one.deletes
    ]


def submitted_by(ref: str) -> str:
    branch = ref.removeprefix("refs/heads/")
    return f": `git push origin {branch}:{BRANCH}` submits it" if PLAIN.fullmatch(branch) and branch != ref else ""
