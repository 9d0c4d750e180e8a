"""What a killed supervisor of the process sandbox left: control groups and folders; its processes ended with it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from pipeline.embedded.sandbox.cgroups import leftovers
from pipeline.embedded.sandbox.probe import STAGE
from pipeline.embedded.sandbox.tree import kill

STAGES = Path("/tmp")


def remove_leftovers() -> None:
    """Only of supervisors that have ended, and of folders only empty ones."""
    if sys.platform != "linux":
        return
    for cgroup in leftovers():
        cgroup.kill()
        kill(cgroup.members())
        cgroup.remove()
    for stage in STAGES.glob(f"{STAGE}*"):
        owner = stage.name.removeprefix(STAGE).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                stage.rmdir()
