"""Commands of the pipeline from a process that has imported it already and forks for each.

To import it costs more than most of what a loop of deaths wants to see. What a death of such a child is stands in its
environment, as ever: `pipeline.faults` is read anew.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.forking import Forker, talk_to

IMPORTED = ("pipeline.flow", "pipeline.backends.choose")
"""What a run imports."""


class ReadyProcess:
    """The client's side: one command at a time, its output in a file."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.forker = Forker("support.ready_process")

    def __call__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        """Exit code, negative for a signal, and output."""
        asked = {"arguments": arguments, "environment": dict(environment), "output": str(self.output)}
        return self.forker.ask(asked), self.output.read_text(errors="replace")

    def end(self) -> None:
        self.forker.end()


def serve() -> None:
    for module in IMPORTED:
        importlib.import_module(module)
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
        talk_to(output)
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
