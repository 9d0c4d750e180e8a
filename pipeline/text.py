"""Text that a student wrote, made fit for a terminal and a log."""

from __future__ import annotations

import re

# ECMA-48: control sequences, then strings (OSC, DCS, SOS, PM, APC) up to their terminator, then two-character escapes.
ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# direction marks, embeddings, overrides and isolates, which make text read other than it is (CVE-2021-42574)
DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SEPARATORS = re.compile("\r\n?|[\u2028\u2029]")


def printable(text: str) -> str:
    """`text` without terminal escapes, control characters (but tab and line feed) and marks of direction.

    Carriage returns and Unicode's own separators of lines become line feeds, so that nothing overwrites a line.
    Lone surrogates, which no terminal takes, become question marks.
    """
    text = ESCAPES.sub("", SEPARATORS.sub("\n", text))
    text = DIRECTIONS.sub("", CONTROLS.sub("", text))
    return text.encode("utf-8", "replace").decode("utf-8")


def one_line(text: str, at_most: int = 300) -> str:
    """`text` printable and on one line, cut with a mark where it is longer than `at_most` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= at_most else f"{line[: at_most - 1]}…"
