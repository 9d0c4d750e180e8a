"""Workers forked by a process that has imported torch, since to import it costs more than all that they do.

Each is a process of its own nevertheless, with its own environment and output, and dies alone.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from support.forking import Forker, talk_to

MARK = "RESULT "


class ReadyWorker:
    """One activation of `runner.training`; `output` has what it printed, and its result behind MARK."""

    def __init__(self, pid: int, output: Path) -> None:
        self.output = output
        self.process: psutil.Process | None = None
        with suppress(psutil.NoSuchProcess):  # it has ended already
            self.process = psutil.Process(pid)

    def kill(self) -> None:
        if self.process is not None:
            with suppress(psutil.NoSuchProcess):
                self.process.kill()

    def wait(self, patience_s: float) -> None:
        """Raises psutil.TimeoutExpired."""
        if self.process is not None:
            self.process.wait(patience_s)


class ReadyWorkers:
    """The client's side of a process that has imported what workers import."""

    def __init__(self) -> None:
        self.forker = Forker("support.ready_workers")

    def start(self, values: Mapping[str, Any], variables: Mapping[str, str], output: Path) -> ReadyWorker:
        """A worker with these parameters, and the variables that an activation has."""
        asked = {"values": dict(values), "variables": dict(variables), "output": str(output)}
        return ReadyWorker(self.forker.ask(asked), output)

    def end(self) -> None:
        self.forker.end()


@contextmanager
def ready_workers() -> Iterator[ReadyWorkers]:
    made = ReadyWorkers()
    try:
        yield made
    finally:
        made.end()


def serve() -> None:
    importlib.import_module("runner.training")  # with torch, for all that are forked
    # the kernel reaps them
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            become(**json.loads(line))
        print(pid, flush=True)


def become(values: dict[str, Any], variables: dict[str, str], output: str) -> None:
    """The worker; does not return."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        talk_to(output)
        os.environ.update(variables)
        from runner.training import main

        print(MARK + json.dumps(main(values)), flush=True)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    serve()
