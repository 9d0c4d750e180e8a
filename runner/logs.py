"""The activation's logs: what is written to the two standard streams, line by line, up to a sentinel."""

from __future__ import annotations

import contextlib
import io
import os
import sys

SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"


class Logs:
    """Both streams, kept apart from sys.stdout and sys.stderr, which a student's code may close or replace."""

    def __init__(self) -> None:
        self.streams = (os.dup(1), os.dup(2))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True, errors="backslashreplace")

    def end_activation(self, message: str = "") -> None:
        """Writes what is still buffered, `message` to stderr, then the sentinel to both."""
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(Exception):
                stream.flush()  # type: ignore[union-attr]
        for descriptor, text in zip(self.streams, ("", message), strict=True):
            with contextlib.suppress(OSError):
                _write(descriptor, (text.encode(errors="replace") + b"\n" if text else b"") + SENTINEL)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
