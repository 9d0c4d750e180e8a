"""Commands of the pipeline from a process that has imported it already and forks for each.

To import it costs more than most of what a loop of deaths wants to see. What a death of such a child is stands in its
environment, as ever: `pipeline.faults` is read anew.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


class ReadyProcess:
    """The client's side: one command at a time, its output in a file."""

    def __init__(self, output: Path) -> None:
        self.output = output
        paths = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "support.ready_process"],
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        """Exit code, negative for a signal, and output."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = {"arguments": arguments, "environment": dict(environment), "output": str(self.output)}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()), self.output.read_text(errors="replace")

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    from pipeline import flow  # noqa: F401 - what a run imports
    from pipeline.backends import choose  # noqa: F401
    from pipeline.reporting.plots import preload

    preload()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            become(asked["arguments"], asked["environment"], asked["output"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(arguments: list[str], environment: dict[str, str], output: str) -> None:
    """The command; does not return."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(old, new)
        from pipeline import faults
        from pipeline.cli.app import call

        importlib.reload(faults)
        code = call(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
