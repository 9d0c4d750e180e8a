"""JSON from outside: bounded, strict, and refused in the words of the real server's parser.

The standard library's parser does the work; only when it refuses a text is the place of the fault looked for again,
as spray-json would have found it, because clients show its message to people.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

END = ""
WHITE = " \t\r\n"
DIGITS = "0123456789"
ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


class MalformedJsonError(ValueError):
    """The text is no JSON, or nested too deeply; the message is for the one who sent it."""


def parse(data: bytes, *, depth: int) -> Any:
    """Parses one JSON value nested at most `depth` deep. Raises MalformedJsonError."""
    text = data.decode("utf-8", "replace")
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise MalformedJsonError(_too_deep(depth)) from None
    except ValueError:
        raise MalformedJsonError(_fault(text, depth)) from None
    if text.count("[") + text.count("{") > depth and _depth(value) > depth:
        raise MalformedJsonError(_too_deep(depth))
    return value


def compact(value: Any) -> str:
    return ENCODER.encode(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _too_deep(depth: int) -> str:
    return f"JSON input was nested more deeply than the set limit of nesting {depth}"


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while containers := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in containers for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _fault(text: str, depth: int) -> str:
    try:
        _Reader(text, depth).document()
    except MalformedJsonError as error:
        return str(error)
    return "The JSON text has numbers or characters that cannot be read"


class _Reader:
    """Walks a text by the grammar, only to say where it leaves it."""

    def __init__(self, text: str, depth: int) -> None:
        self.text, self.at, self.left = text, 0, depth

    def document(self) -> None:
        self.white()
        self.value()
        if self.now() != END:
            self.fail("end-of-input")

    def now(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else END

    def white(self) -> None:
        while self.now() != END and self.now() in WHITE:
            self.at += 1

    def value(self) -> None:
        start, first = self.at, self.now()
        if first == "{":
            self.members("}", self.member)
        elif first == "[":
            self.members("]", self.value)
        elif first == '"':
            self.string()
        elif first != END and first in "-" + DIGITS:
            self.number()
        elif word := next((w for w in ("true", "false", "null") if w[0] == first), ""):
            if not self.text.startswith(word, start):
                self.fail("JSON Value", start)
            self.at += len(word)
            self.white()
        else:
            self.fail("JSON Value")

    def members(self, close: str, one: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise MalformedJsonError("JSON input is nested too deeply")
        self.at += 1
        self.white()
        if self.now() != close:
            one()
            while self.now() == ",":
                self.at += 1
                self.white()
                one()
        self.require(close)
        self.white()
        self.left += 1

    def member(self) -> None:
        self.string()
        self.require(":")
        self.white()
        self.value()

    def string(self) -> None:
        if self.now() != '"':
            self.fail("'\"'")
        self.at += 1
        while (now := self.now()) not in ('"', END) and now >= " ":
            self.at += 1
            if now == "\\":
                self.escape()
        self.require('"')
        self.white()

    def escape(self) -> None:
        kind = self.now()
        if kind == "u":
            for place in range(self.at + 1, self.at + 5):
                if self.text[place : place + 1] not in set("0123456789abcdefABCDEF"):
                    self.fail("hex digit", place)
            self.at += 4
        elif kind == END or kind not in '"\\/bfnrt':
            self.fail("JSON escape sequence")
        self.at += 1

    def number(self) -> None:
        if self.now() == "-":
            self.at += 1
        if self.now() == "0":
            self.at += 1
        else:
            self.digits()
        if self.now() == ".":
            self.at += 1
            self.digits()
        if self.now() != END and self.now() in "eE":
            self.at += 1
            if self.now() != END and self.now() in "+-":
                self.at += 1
            self.digits()
        self.white()

    def digits(self) -> None:
        if self.now() == END or self.now() not in DIGITS:
            self.fail("DIGIT")
        while self.now() != END and self.now() in DIGITS:
            self.at += 1

    def require(self, sign: str) -> None:
        if self.now() != sign:
            self.fail(f"'{sign}'")
        self.at += 1

    def fail(self, expected: str, at: int | None = None) -> NoReturn:
        place = self.at if at is None else at
        sign = self.text[place] if place < len(self.text) else END
        found = "end-of-input" if sign == END else f"character '{_printable(sign)}'"
        start = self.text.rfind("\n", 0, place) + 1
        end = self.text.find("\n", place)
        line = self.text[start : end if end >= 0 else len(self.text)][: place - start + 100]
        number, column = self.text.count("\n", 0, place) + 1, place - start + 1
        raise MalformedJsonError(
            f"Unexpected {found} at input index {place} (line {number}, position {column}), expected {expected}:"
            f"\n{''.join(c if c.isprintable() else '?' for c in line)}\n{' ' * (column - 1)}^\n"
        )


def _printable(sign: str) -> str:
    return sign if sign.isprintable() else f"\\u{ord(sign):04x}"
