"""Processes that tests start: each ends with its test; what is left at the end of the session is ended and named."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

import psutil

END_S = 10.0


class Processes:
    """Starts processes, each in a group of its own, and ends these groups by id."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[Any]] = []

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(command, start_new_session=True, **options)
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            signal_group(process.pid, signal.SIGTERM)
        for process in self.started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            signal_group(process.pid, signal.SIGKILL)
            process.wait()


def signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_leftovers(marker: str, value: str, *, patience_s: float = END_S / 2) -> list[str]:
    """Ends what still carries `marker=value` in its environment, this process apart; what it was.

    A process that is about to end by itself gets `patience_s` to do so.
    """
    others = [process for process in psutil.process_iter() if process.pid != os.getpid()]
    _, left = psutil.wait_procs([one for one in others if carries(one, marker, value)], timeout=patience_s)
    named = [f"process {process.pid}: {command_of(process)}" for process in left]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=END_S)
    return named


def carries(process: psutil.Process, marker: str, value: str) -> bool:
    try:
        return process.environ().get(marker) == value and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "?"
