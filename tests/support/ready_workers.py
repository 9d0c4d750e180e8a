"""Workers forked by a process that has imported torch, since to import it costs more than all that they do.

Each is a process of its own nevertheless, with its own environment and output, and dies alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

TESTS = Path(__file__).resolve().parents[1]
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
        paths = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
        self.forker = subprocess.Popen(
            [sys.executable, "-P", "-m", "support.ready_workers"],
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, values: Mapping[str, Any], variables: Mapping[str, str], output: Path) -> ReadyWorker:
        """A worker with these parameters, and the variables that an activation has."""
        assert self.forker.stdin is not None
        assert self.forker.stdout is not None
        asked = {"values": dict(values), "variables": dict(variables), "output": str(output)}
        self.forker.stdin.write(json.dumps(asked) + "\n")
        self.forker.stdin.flush()
        return ReadyWorker(int(self.forker.stdout.readline()), output)

    def end(self) -> None:
        assert self.forker.stdin is not None
        self.forker.stdin.close()
        self.forker.wait()


@contextmanager
def ready_workers() -> Iterator[ReadyWorkers]:
    made = ReadyWorkers()
    try:
        yield made
    finally:
        made.end()


def serve() -> None:
    import runner.training  # noqa: F401 - with torch, for all that are forked

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
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(old, new)
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
