"""Waits for a moment of a run, finds its processes, and what of them is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

WAIT_S = 120


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {WAIT_S} s for {what}")


def execution(folder: Path) -> dict[str, Any]:
    """What the execute stage remembers; nothing where it has written nothing yet."""
    try:
        loaded: dict[str, Any] = json.loads((folder / "private" / "execution.json").read_text())
    except (OSError, ValueError):
        return {}
    return loaded


def a_runner_of(folder: Path) -> psutil.Process:
    """A process of this run that has torch loaded, found below its supervisor by its size."""
    supervisor = psutil.Process(json.loads((folder / "servers.json").read_text())["pid"])
    found = []
    for process in supervisor.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found.append((process.memory_info().rss, process.pid))
    size, pid = max(found)
    assert size > 100 * 2**20, "no worker runs"
    return psutil.Process(pid)


def left_of(folder: Path) -> list[str]:
    """Command lines of processes that still name the run's folder."""
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]
