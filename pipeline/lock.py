"""One process at a time works on a run; another one can ask it to stop."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipeline.errors import AbortedError, UsageError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds the lock of a run's folder. Raises UsageError where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another process works on {path.parent.parent}", hint="wait for it, or stop it with `pipeline cancel`"
            ) from None
        file.truncate(0)
        json.dump({"pid": os.getpid(), "started": psutil.Process().create_time()}, file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def stop_holder(path: Path, *, wait_s: float = 60.0) -> bool:
    """Asks the process that holds the lock to stop and waits for it; False where none holds it."""
    if not held(path):
        return False
    try:
        holder = json.loads(path.read_text() or "{}")
        process = psutil.Process(int(holder["pid"]))
        if abs(process.create_time() - float(holder["started"])) < 1:
            process.send_signal(signal.SIGTERM)
    except (OSError, ValueError, KeyError, psutil.Error):
        pass
    deadline = time.monotonic() + wait_s
    while held(path) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not held(path)


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


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into AbortedError, so that a run ends in order; ignores further ones."""

    def stop(number: int, _frame: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise AbortedError(f"stopped by {signal.Signals(number).name}", hint="`pipeline resume` goes on with it")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
