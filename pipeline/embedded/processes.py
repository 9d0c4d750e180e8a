"""Processes named by pid and start time, so that a pid's next owner is never taken for its last one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

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

    def end(self, *, grace_s: float = 0.0, wait_s: float = 10.0) -> bool:
        """Ends it: after SIGTERM it has `grace_s` seconds, then SIGKILL. True once it is gone."""
        process = self.find()
        if process is None:
            return True
        try:
            if grace_s > 0:
                process.terminate()
                if gone(process, grace_s):
                    return True
            process.kill()
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False
        return gone(process, wait_s)


def gone(process: psutil.Process, wait_s: float) -> bool:
    """Waits for the end of any process, a child or not."""
    try:
        process.wait(wait_s)
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE if process.is_running() else True
    return True


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
