"""Starts a program where there are no namespaces; a script that needs nothing but the standard library.

It stays the program's parent. Whatever leaves the program's tree becomes its child (Linux), so that nothing is left
when it ends all of them: after the program, at SIGTERM, or when the process that started it has ended.
`confine.py OPTIONS PROGRAM ...`, options in JSON.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

DEATH_SIGNAL, NO_NEW_PRIVILEGES, ADOPT_ORPHANS = 1, 38, 36
LINUX = sys.platform == "linux"


def prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def begin(options: dict[str, Any], program: list[str]) -> None:
    """In the child: gives up what it must not keep, then becomes the program."""
    number = options["user"]
    for name, value in options["limits"].items():
        # macOS has no limit of some of these, or a lower hard one
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
    if number is not None:
        os.setgroups([])
        os.setgid(number)
        os.setuid(number)
    prctl(NO_NEW_PRIVILEGES, 1)
    prctl(DEATH_SIGNAL, signal.SIGKILL)
    os.write(options["started"], b"1")
    os.close(options["started"])
    os.execve(program[0], program, options["variables"])


def children() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(number) for number in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


def end_all() -> None:
    """Again and again: the children of what is ended become ours."""
    while left := children():
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.wait()


def stop(number: int, _: object) -> None:
    end_all()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGKILL)
    sys.exit(128 + number)


def main(options: dict[str, Any], program: list[str]) -> int:
    """The program's exit status."""
    for file in options["cgroups"]:
        Path(file).write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, stop)
    prctl(ADOPT_ORPHANS, 1)
    prctl(DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != options["parent"]:
        return 1
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        begin(options, program)
    os.close(options["started"])
    while True:
        ended, status = os.wait()
        if ended == child:
            end_all()
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
