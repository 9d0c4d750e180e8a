"""What the bubblewrap of this machine can do: distributions have versions that are years apart."""

from __future__ import annotations

import functools
import subprocess

ASK_S = 10
NO_FURTHER_USERS = "--disable-userns"
"""Since 0.8. Before, the filter of system calls alone refuses further user namespaces."""


@functools.cache
def knows(option: str) -> bool:
    """Whether its help names the option; true where there is no bubblewrap to ask, which is found out soon enough."""
    try:
        told = subprocess.run(["bwrap", "--help"], capture_output=True, timeout=ASK_S, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return True
    return option in (told.stdout + told.stderr).split()
