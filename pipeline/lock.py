"""One process at a time works on a run; another one can ask it to stop."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from pipeline.errors import InfrastructureError, UsageError

STOP_S = 120.0
PROBE_S = 0.5


@contextmanager
def exclusive(path: Path, hint: str = "") -> Iterator[None]:
    """Holds the lock of a run's folder. Raises UsageError where another process holds it."""
    folder = path.parent.parent
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+") as file:
        if not taken(file):
            hint = hint or f"wait for it, or stop it with `pipeline cancel {folder}`"
            raise UsageError(f"another process works on {folder}", hint=hint)
        write_holder(file, os.getpid())
        try:
            yield
        finally:
            file.truncate(0)


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Holds the lock of that file, which lies there for nothing else; waits for whoever has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_holder(file: IO[str], pid: int) -> None:
    """Says in a lock's file which process holds it."""
    file.truncate(0)
    with suppress(psutil.Error):  # it has ended already, and holds nothing
        json.dump({"pid": pid, "started": psutil.Process(pid).create_time()}, file)
    file.flush()


def taken(file: IO[str]) -> bool:
    """Takes the lock; tries for a moment, since whoever asks whether it is held holds it then."""
    deadline = time.monotonic() + PROBE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def stop_holder(path: Path, *, wait_s: float = STOP_S) -> None:
    """Asks the process that holds the lock to stop, and returns when none holds it.

    Raises InfrastructureError where it does not stop.
    """
    deadline, asked = time.monotonic() + wait_s, False
    while held(path):
        process = holder(path)
        if process is not None and not asked:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGTERM)
            asked = True
        if time.monotonic() > deadline:
            number = process.pid if process else "?"
            raise InfrastructureError(
                f"process {number}, which works on the run, did not stop within {wait_s:.0f} s",
                hint=f"`kill -9 {number}`, then `pipeline cancel` again",
            )
        time.sleep(0.1)


def holder(path: Path) -> psutil.Process | None:
    """The process that says in the file that it holds the lock; it says so a moment after it has it."""
    try:
        told = json.loads(path.read_text() or "{}")
        process = psutil.Process(int(told["pid"]))
        return process if abs(process.create_time() - float(told["started"])) < 1 else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def held(path: Path) -> bool:
    """True while a process holds the lock."""
    if not path.exists():
        return False
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
