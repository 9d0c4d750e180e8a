"""Run as a script: waits for the end of its standard input, then becomes another program.

    python -I -S outlive.py PROGRAM [ARGUMENT ...]

A line on standard input means that there is nothing left to do. Only the standard library, and little of it: it waits
as long as the process that started it lives, whose end ends the input.
"""

from __future__ import annotations

import os
import sys


def main(command: list[str]) -> None:
    if not sys.stdin.buffer.readline():
        os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
