"""Processes named by pid and start time, so that a pid's next owner is never taken for its last one."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

import pipeline
from pipeline import faults
from pipeline.embedded import die_with_parent

CLOCK_STEP_S = 1.0


class Recorded(BaseModel):
    """A process that may have ended since. `started` in seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: float
    name: str = ""

    def find(self) -> psutil.Process | None:
        """The process while it runs; None when it has ended, or is a zombie, or its pid is another's now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_STEP_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def gone(self, wait_s: float) -> bool:
        """Waits for its end; False when it still runs after `wait_s`. A zombie has ended."""
        deadline = time.monotonic() + wait_s
        while self.find() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; SIGKILL to all of its process group where it leads one. Harmless when it has ended."""
        if self.find() is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def end(self, *, wait_s: float = 10.0) -> bool:
        """Kills it with its process group. True once it is gone."""
        self.signal(signal.SIGKILL)
        return self.gone(wait_s)


def recorded(pid: int, name: str = "") -> Recorded | None:
    """What tells process `pid` apart from every other; None where there is none."""
    try:
        return Recorded(pid=pid, started=psutil.Process(pid).create_time(), name=name)
    except psutil.Error:
        return None


def bound_to_parent(command: Sequence[str], *, listener: int = -1) -> list[str]:
    """The command line that runs `command` (an absolute path first) until this process ends, however that ends.

    Start it from the main thread: the kernel means the thread that forked. A listening socket goes along under
    systemd's protocol; its descriptor must be in `pass_fds`.
    """
    script = str(Path(die_with_parent.__file__))
    return [sys.executable, "-I", "-S", script, str(os.getpid()), str(listener), *command]


def own_module(name: str, *arguments: str) -> list[str]:
    """The command line of a module of this package; start it with `own_environment()`.

    `-P`, since a folder named `pipeline` where the user stands is not this one.
    """
    return [sys.executable, "-P", "-m", name, *arguments]


def own_environment() -> dict[str, str]:
    """For a process of ours: it finds this package, and a fault that a test has put here is not its own."""
    root = str(Path(pipeline.__file__).parent.parent)
    inherited = faults.inherited(os.environ)
    return dict(inherited, PYTHONPATH=os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))
