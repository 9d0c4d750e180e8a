"""Run as a script by git's hooks: has the server that runs do the hook's work, or becomes the process that does it.

    python -I -S hook_client.py SOCKET PROGRAM [ARGUMENT ...] NAME COURSE STUDENT ASSIGNMENT

Only the standard library: it starts in a few hundredths of a second where the whole program takes most of one, which
counts when a hundred push at once. Whatever goes wrong with the server, the program does all of the hook's work again,
to the same end: a push has one id, whoever spools it.

To the server goes one line of JSON; what comes back are lines too: `.` first, that the question has come, and again
while there is nothing to say; `+` with a line for the pusher; and `=` with the hook's exit code, the last.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys

UPDATES_BYTES = 64 * 1024
ANSWER_S = 5.0
SILENT_S = 60.0
"""So long a server may take until it has the question, and then be silent; one that hangs is not waited for."""
FOLLOWS = "PIPELINE_PUSH_FOLLOWS"
QUARANTINE = ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
"""Where git says that a push's objects lie until it is let in."""
OWN_POINTS = "PIPELINE_DIE_"
"""Whoever watches or kills the hook's own process (pipeline/faults.py) gets one."""


class GoneError(Exception):
    """The pusher has gone."""


def main(path: str, command: list[str]) -> None:
    told = sys.stdin.buffer.read(UPDATES_BYTES + 1)
    code = None
    if not any(name.startswith(OWN_POINTS) for name in os.environ):
        try:
            code = asked(path, command[-4:], told)
        except GoneError:
            os._exit(1 if command[-4] == "pre-receive" else 0)
        except (OSError, ValueError):
            pass
    if code is None:
        become(command, told)
    sys.exit(code)


def asked(path: str, arguments: list[str], told: bytes) -> int | None:
    """The hook's exit code; None where the server went before it came. Raises GoneError, OSError, ValueError."""
    variables = {name: os.environ[name] for name in (FOLLOWS, *QUARANTINE) if name in os.environ}
    question = {"arguments": arguments, "told": told.decode("utf-8", "replace"), "variables": variables}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(path)
        connection.sendall(json.dumps(question).encode() + b"\n")
        begun = connection.recv(65536)
        connection.settimeout(None)
        while True:
            *lines, begun = begun.split(b"\n")
            for line in lines:
                if line.startswith(b"="):
                    return int(line[1:])
                if line.startswith(b"+"):
                    say(line[1:] + b"\n")
            data = received(connection)
            if not data:
                return None
            begun += data


def received(connection: socket.socket) -> bytes:
    """What the server says next. Raises TimeoutError where it hangs, GoneError as soon as the pusher has gone."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    waiting.register(sys.stdout.fileno(), 0)
    ready = [descriptor for descriptor, _ in waiting.poll(SILENT_S * 1000)]
    if sys.stdout.fileno() in ready:
        raise GoneError
    if not ready:
        raise TimeoutError
    return connection.recv(65536)


def say(line: bytes) -> None:
    try:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise GoneError from None


def become(command: list[str], told: bytes) -> None:
    """The program that does the hook's work itself, told the same, by a pipe: the disk may be full."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        while told:
            told = told[os.write(writing, told) :]
        os._exit(0)
    os.close(writing)
    os.dup2(reading, 0)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
