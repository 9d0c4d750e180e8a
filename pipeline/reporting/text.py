"""Text of a run made fit for HTML and XML: printable, without what XML forbids, bounded. Escaping is done there."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from pipeline.text import printable

# Jenkins keeps annotations in a log as a hidden, serialised object; nobody but Jenkins may write one
CONSOLE_NOTE = re.compile(r"\x1b\[8mha:[A-Za-z0-9+/=]*(?:\x1b\[0m)?")
NOT_IN_XML = re.compile("[\ufffe\uffff]")
USER_IN_URL = re.compile(r"(?<=://)[^/@\s]*@")


def shown(text: str, at_most: int = 2000) -> str:
    """`text` without escapes, controls, what XML forbids and names in URLs, cut with a mark after `at_most`."""
    clean = without_user(NOT_IN_XML.sub("", printable(CONSOLE_NOTE.sub("", text))))
    if len(clean) <= at_most:
        return clean
    return f"{clean[:at_most]} … ({len(clean) - at_most} characters dropped)"


def without_user(text: str) -> str:
    """`text` without the name and password that a URL may carry."""
    return USER_IN_URL.sub("", text)


def tail(path: Path, *, lines: int = 30, at_most: int = 6000) -> str:
    """The last lines of a log, at most `at_most` bytes of them; empty where there is no plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return ""
        file.seek(max(0, status.st_size - at_most))
        read = file.read(at_most).decode("utf-8", "replace")
    return "\n".join(shown(read, at_most).rstrip().split("\n")[-lines:])
