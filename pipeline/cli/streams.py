"""Standard output and error as they are: readers that have gone, terminals without UTF-8."""

from __future__ import annotations

import io
import os
import sys
from typing import IO


def discard(stream: IO[str]) -> None:
    """Sends all further output of `stream` nowhere, the interpreter's last flush included."""
    try:
        descriptor = stream.fileno()
    except (io.UnsupportedOperation, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def tolerate_any_text() -> None:
    """A terminal or log without UTF-8 shows question marks instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
