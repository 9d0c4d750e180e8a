"""How strongly student code can be kept apart on this machine: found by trying, not by a program's presence."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from pipeline.embedded.sandbox.interpreter import interpreter_mounts
from pipeline.embedded.sandbox.launch import Plan, bubblewrapped
from pipeline.settings import Isolation

TRY_S = 30
PROBE_USER = 199_999
REACHING_OUT = (
    "import socket\n"
    "with socket.socket() as outward:\n"
    "    outward.settimeout(2)\n"
    "    assert outward.connect_ex(('192.0.2.1', 9)) in (101, 113), 'a network'\n"
    "print('apart')\n"
)
NEVER = ("seccomp filter of system calls",)
REDUCED = ("network", "view of files", "view of processes", "size of /tmp", "a user of its own")


class SandboxLevel(NamedTuple):
    """The level, and what it does not enforce, in words for a report."""

    isolation: Isolation
    unenforced: tuple[str, ...]


@functools.cache
def probe() -> SandboxLevel:
    """Starts Python in the sandbox once and sees whether it is apart; the answer is kept for this process."""
    if sys.platform != "linux" or not all(shutil.which(name) for name in ("bwrap", "prlimit", "setpriv")):
        return SandboxLevel(Isolation.REDUCED, (*REDUCED, *NEVER))
    for as_root in (True, False) if os.geteuid() == 0 else (False,):
        if works(as_root=as_root):
            own_user = () if as_root else ("a user of its own", "number of processes")
            return SandboxLevel(Isolation.NAMESPACES, (*own_user, *NEVER))
    return SandboxLevel(Isolation.REDUCED, (*REDUCED, *NEVER))


def works(*, as_root: bool) -> bool:
    """Whether a program in the sandbox runs, and has no network."""
    stage = make_stage() if as_root else None
    plan = Plan(
        program=(str(Path(sys.executable).resolve()), "-I", "-S", "-c", REACHING_OUT),
        mounts=interpreter_mounts(),
        variables={"PATH": "/usr/bin"},
        memory_mb=64,
        processes=8,
        user=PROBE_USER if as_root else None,
        stage=stage,
    )
    try:
        done = subprocess.run(
            bubblewrapped(plan), stdin=subprocess.DEVNULL, capture_output=True, timeout=TRY_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        if stage is not None:
            stage.rmdir()
    return done.returncode == 0 and done.stdout == b"apart\n"


def make_stage() -> Path:
    """A folder over which each container mounts a tmpfs that it alone sees; every user may pass it."""
    stage = Path(tempfile.mkdtemp(prefix="ml-stage-", dir="/tmp"))
    stage.chmod(0o755)
    return stage
