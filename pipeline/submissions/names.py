"""Names and ids that become paths, each by full match."""

from __future__ import annotations

import re

from pipeline.errors import UsageError
from pipeline.text import one_line

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
ID = re.compile(r"[0-9a-f]{32}")


def checked_name(text: str) -> str:
    """The name of a student, team, course or assignment. Raises UsageError."""
    if not NAME.fullmatch(text):
        raise UsageError(f"{one_line(text, 80)!r} is no name", hint="lower-case letters, digits and - in between")
    return text


def checked_id(text: str) -> str:
    """A submission's id. Raises UsageError."""
    if not ID.fullmatch(text):
        raise UsageError(f"{one_line(text, 60)!r} is no id of a submission", hint="32 hexadecimal digits")
    return text
