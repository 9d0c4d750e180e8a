"""Small text files that people write: decoded as UTF-8 only, parsed as TOML with the line of every key."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import Fault

MOST_BYTES = 256 * 1024
MARKS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
    r"|#[^\n]*|[\[\]{}]|\n|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)
PART = re.compile(r'\s*("(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+)\s*(\.?)')

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class TomlFile:
    """A TOML document, and on which line each of its keys stands."""

    name: str
    values: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Sequence[str | int]) -> int | None:
        """The line of a key, or of the nearest table around it; None where not even that is in the file."""
        for end in range(len(path), 0, -1):
            if tuple(path[:end]) in self.lines:
                return self.lines[tuple(path[:end])]
        return None


def decode(content: bytes, name: str) -> str | Fault:
    """The text of a file in UTF-8, a byte order mark dropped; a fault where it is anything else or too large."""
    if len(content) > MOST_BYTES:
        return Fault(name, f"has {len(content)} bytes, more than the {MOST_BYTES} that such a file may have")
    for encoding, marks in MARKS.items():
        if content.startswith(marks):
            hint = "save it as UTF-8; in PowerShell write it with `| Out-File -Encoding utf8`"
            return Fault(name, f"is {encoding} text, and only UTF-8 is read", hint, line=1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Fault(name, f"is not UTF-8: byte {content[error.start]:#04x}", "save it as UTF-8", line)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        return Fault(name, "holds a NUL character, so it is no text in UTF-8", "save it as UTF-8", line)
    return text


def read_toml(content: bytes, name: str) -> TomlFile | Fault:
    text = decode(content, name)
    if isinstance(text, Fault):
        return text
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column \d+\)", str(error))
        message = re.sub(r"\s*\(at .*\)$", "", str(error))
        return Fault(
            name, f"is not TOML: {message}", "see https://toml.io", int(at[1]) if at else len(text.splitlines())
        )
    except RecursionError:
        return Fault(name, "is not TOML that is read here: too deeply nested")
    return TomlFile(name, values, key_lines(text))


def key_lines(text: str) -> dict[Path, int]:
    """The line of each key and table header of a valid TOML document (https://toml.io/en/v1.0.0).

    Keys inside an inline table are left out: they stand where the table does.
    """
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    at, next_line = 0, 1
    while at < len(text):
        statement = text[at : end_of_statement(text, at)]
        at += len(statement) + 1
        line, next_line = next_line, next_line + statement.count("\n") + 1
        stripped = statement.strip()
        if stripped.startswith("["):
            table = header(stripped, counts)
            lines.setdefault(table, line)
        elif stripped and not stripped.startswith("#"):
            path = table
            for part in dotted(stripped):
                path = (*path, part)
                lines.setdefault(path, line)
    return lines


def end_of_statement(text: str, start: int) -> int:
    """Where the line ends that begins at `start`, strings and arrays over several lines included."""
    depth = 0
    for token in TOKEN.finditer(text, start):
        if token[0] in {"[", "{"}:
            depth += 1
        elif token[0] in {"]", "}"}:
            depth -= 1
        elif token[0] == "\n" and depth <= 0:
            return token.start()
    return len(text)


def header(statement: str, counts: dict[Path, int]) -> Path:
    """The table that `[a.b]` or `[[a.b]]` opens; an array's tables are numbered in the order they are met."""
    path: Path = ()
    for part in dotted(statement.lstrip("[ \t")):
        if path in counts:
            path = (*path, counts[path])
        path = (*path, part)
    if statement.startswith("[["):
        counts[path] = counts.get(path, -1) + 1
    return (*path, counts[path]) if path in counts else path


def dotted(text: str) -> list[str]:
    """The parts of the dotted key at the start of `text`."""
    parts, at = [], 0
    while part := PART.match(text, at):
        parts.append(tomllib.loads(f"key = {part[1]}")["key"] if part[1][0] in "\"'" else part[1])
        if not part[2]:
            break
        at = part.end()
    return parts
