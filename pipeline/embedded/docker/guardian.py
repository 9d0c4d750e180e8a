"""A small process that outlives a killed supervisor, and then removes its containers, networks and rules."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pipeline.embedded import outlive
from pipeline.embedded.processes import own_environment, own_module

END_S = 10.0


class Guardian:
    """In a session of its own: what ends the supervisor's group does not end it."""

    def __init__(self) -> None:
        sweep = own_module("pipeline.embedded.docker.leftovers")
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(outlive.__file__)), *sweep],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=own_environment(),
            cwd="/",
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """All is removed already. Harmless where it has ended."""
        with suppress(subprocess.TimeoutExpired, OSError):
            self.process.communicate(b"dismissed\n", timeout=END_S)
