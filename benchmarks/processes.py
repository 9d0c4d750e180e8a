"""Starts the processes of a contender and ends what it leaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "benchmarks" / "model"
PATIENCE_S = 900.0


@contextmanager
def processes() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Gives `start(module, *arguments)`; what it started is over when the block ends."""
    started: list[subprocess.Popen[bytes]] = []

    def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
        variables = os.environ | {"OMP_NUM_THREADS": "1", "RUNNER_CODE": str(MODEL)}
        command = [sys.executable, "-m", module, *arguments]
        started.append(subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            if one.poll() is None:
                one.terminate()
                one.wait(30)


def until(condition: Callable[[], object], who: list[subprocess.Popen[bytes]], poll_s: float = 0.005) -> None:
    """Waits for `condition`. Raises RuntimeError when one of `who` fails, or after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if any(one.poll() not in (None, 0) for one in who) or time.monotonic() > end:
            raise RuntimeError("a process of the benchmark failed or took too long")
        time.sleep(poll_s)


def finished(who: list[subprocess.Popen[bytes]]) -> None:
    for one in who:
        if one.wait(PATIENCE_S):
            raise RuntimeError("a process of the benchmark failed")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
