"""Where a test can have a process of ours die: before each fsync, rename, spawn and request that it makes.

`PIPELINE_DIE_AT=7` kills the process at its seventh point with SIGKILL, as a power cut would; `rename record.json` or
`request PUT /course/*` at its first of that name, `rename record.json#3` at its third. `pipeline.embedded:7` means the
process that runs this module, whoever starts it. `PIPELINE_DIE_LOG=FILE` gets the pid, the number and the name of each
point that is passed. Without them nothing is watched and a point costs one comparison.

Renames, spawns and requests over http.client (requests, urllib3, minio, docker) are seen by an audit hook of the
interpreter, whoever makes them: no code of ours need remember it, and none can go round it. For what the interpreter
does not tell there is `point`: fsync (`pipeline.files`) and aiohttp (`pipeline.embedded.asking`). What neither sees is
refused by tests/unit/test_points.py.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

DIE_AT_VARIABLE = "PIPELINE_DIE_AT"
LOG = os.environ.get("PIPELINE_DIE_LOG", "")
passed, fitting = itertools.count(1), itertools.count(1)


def asked(value: str, command: Sequence[str]) -> str:
    """The point at which a process of this command line is to die, its number or a pattern of its name; or nothing."""
    module, _, where = value.rpartition(":")
    return where if not module or module in command else ""


DIE_AT = asked(os.environ.get(DIE_AT_VARIABLE, ""), sys.orig_argv)
PATTERN, _, NTH = DIE_AT.partition("#")
WATCHED = bool(DIE_AT or LOG)


def point(name: str) -> None:
    """What follows next is `name`; a process that is to die here does so before it."""
    if not WATCHED:
        return
    number = next(passed)
    if LOG:
        with Path(LOG).open("a", encoding="utf-8") as log:
            log.write(f"{os.getpid()} {number} {name}\n")
    if str(number) == DIE_AT or (fnmatchcase(name, PATTERN) and next(fitting) == int(NTH or 1)):
        os.kill(os.getpid(), signal.SIGKILL)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process of ours may inherit: a death that is meant for this one is not also its own."""
    mine = ":" not in environment.get(DIE_AT_VARIABLE, "")
    return {name: value for name, value in environment.items() if name != DIE_AT_VARIABLE or not mine}


def renamed(_source: Any, target: Any, *_: Any) -> str:
    """The interpreter's own cache of bytecode is none of our files."""
    name = Path(os.fsdecode(target)).name
    return "" if name.endswith(".pyc") else f"rename {name}"


def spawned(program: Any, arguments: Any, *_: Any) -> str:
    """The module's name where it is a process of Python's, else the program's."""
    words = [os.fsdecode(one) for one in arguments or ()] if not isinstance(arguments, str | bytes) else [program]
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    return f"spawn {module[0] if module else Path(words[0] if words else os.fsdecode(program)).name}"


def sent(_connection: Any, data: Any) -> str:
    """Only the head of a request counts: its body follows in as many pieces as its sender likes."""
    head = bytes(data[:4096]) if isinstance(data, bytes | bytearray | memoryview) else b""
    line, _, _ = head.partition(b"\r\n")
    asked_for, _, version = line.decode(errors="replace").rpartition(" ")
    return f"request {asked_for.partition('?')[0]}" if version.startswith("HTTP/") else ""


NAMES: Mapping[str, Callable[..., str]] = {
    "os.rename": renamed,
    "subprocess.Popen": spawned,
    "os.posix_spawn": spawned,
    "os.exec": spawned,
    "os.fork": lambda: "spawn by fork",
    "http.client.send": sent,
}


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    name = NAMES[event](*arguments) if event in NAMES else ""
    if name:
        point(name)


if WATCHED:
    sys.addaudithook(watch)
