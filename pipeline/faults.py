"""Where a test can have a process of ours die: writes of files, the spool, starts of builds, requests to Jenkins.

`PIPELINE_DIE_AT=7` kills the process at its seventh point with SIGKILL, as a power cut would; `PIPELINE_DIE_LOG=FILE`
gets the name of each point that is passed. Without them a point costs one comparison.
"""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

DIE_AT_VARIABLE = "PIPELINE_DIE_AT"
DIE_AT = int(os.environ.get(DIE_AT_VARIABLE, "0") or 0)
LOG = os.environ.get("PIPELINE_DIE_LOG", "")
passed = itertools.count(1)


def point(name: str) -> None:
    """What follows next is `name`; a process that is to die here does so before it."""
    if not DIE_AT and not LOG:
        return
    number = next(passed)
    if LOG:
        with Path(LOG).open("a", encoding="utf-8") as log:
            log.write(f"{os.getpid()} {number} {name}\n")
    if number == DIE_AT:
        os.kill(os.getpid(), signal.SIGKILL)
