"""How strongly student code can be kept apart on this machine: found by trying, not by a program's presence."""

from __future__ import annotations

import functools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from pipeline.embedded.sandbox.cgroups import can_make_groups
from pipeline.embedded.sandbox.descriptors import filter_descriptor
from pipeline.embedded.sandbox.installed import NO_FURTHER_USERS, knows
from pipeline.embedded.sandbox.interpreter import interpreter_mounts
from pipeline.embedded.sandbox.launch import Plan, bubblewrapped
from pipeline.embedded.sandbox.users import take_user
from pipeline.settings import Isolation

TRY_S = 30
PROGRAMS = ("bwrap", "prlimit", "setpriv", "unshare")
STAGE = "ml-stage-"
COUNTED_BY_NAMESPACE = (5, 14)
"""The first Linux that counts a user's processes in each user namespace."""
LOOKING_OUT = """
import os, socket, sys
port, user = int(sys.argv[1]), int(sys.argv[2])
assert [name for _, name in socket.if_nameindex()] == ["lo"], "a network"
assert socket.socket().connect_ex(("127.0.0.1", port)) != 0, "the host's loopback"
assert os.getuid() == user, "another user"
assert not any(map(os.path.exists, ("/etc/passwd", "/etc/shadow", "/home", "/var"))), "the host's files"
assert len([name for name in os.listdir("/proc") if name.isdigit()]) < 5, "the host's processes"
print("apart")
"""
OF_NAMESPACES = ("network", "view of files", "view of processes", "size of /tmp")
OWN_USER, CALLS, PROCESSES = "a user of its own", "filter of system calls", "number of processes at every moment"
MEMORY, NESTING = "memory at every moment", "no namespaces inside namespaces"


class SandboxLevel(NamedTuple):
    """The level, what it enforces and what not, in words for a report, and why it is not a higher one."""

    isolation: Isolation
    enforced: tuple[str, ...]
    unenforced: tuple[str, ...]
    reasons: tuple[str, ...] = ()


@functools.cache
def probe() -> SandboxLevel:
    """Starts Python in the sandbox once and sees whether it is apart; the answer is kept for this process."""
    as_root = os.geteuid() == 0
    why = missing() or refused(as_root=as_root)
    holds = dict.fromkeys(OF_NAMESPACES, not why)
    holds[OWN_USER] = as_root
    holds[CALLS] = not why and has_filter()
    if not why and not holds[CALLS]:
        holds[NESTING] = knows(NO_FURTHER_USERS)
    groups = can_make_groups()
    holds[PROCESSES] = groups or tasks_are_countable(apart=not why)
    holds[MEMORY] = groups
    return SandboxLevel(
        Isolation.REDUCED if why else Isolation.NAMESPACES,
        tuple(name for name, does in holds.items() if does),
        tuple(name for name, does in holds.items() if not does),
        (why,) if why else (),
    )


def missing() -> str:
    """Why there is no use in trying, or nothing."""
    if sys.platform != "linux":
        return "namespaces are Linux's; this is another system"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def refused(*, as_root: bool) -> str:
    """Why a program in the sandbox does not run, or is not apart; nothing when all is well."""
    python = Path(sys.executable).resolve()
    with ExitStack() as undo:
        dropped = take_user() if as_root else None
        if dropped is not None:
            undo.callback(dropped.free)
        user = dropped.number if dropped else os.getuid()
        listener = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        stage = make_stage() if as_root else None
        if stage is not None:
            undo.callback(stage.rmdir)
        started, told = os.pipe()
        undo.callback(os.close, started)
        undo.callback(os.close, told)
        calls = filter_descriptor()
        if calls is not None:
            undo.callback(os.close, calls)
        plan = Plan(
            program=(str(python), "-I", "-S", "-c", LOOKING_OUT, str(listener.getsockname()[1]), str(user)),
            mounts=interpreter_mounts(python),
            variables={"PATH": "/usr/bin"},
            memory_mb=64,
            tasks=16,
            started=told,
            calls=calls,
            user=user if as_root else None,
            stage=stage,
        )
        return tried(bubblewrapped(plan), (told,) if calls is None else (told, calls))


def tried(command: list[str], descriptors: tuple[int, ...]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRY_S,
            check=False,
            pass_fds=descriptors,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap could not be run: {error}"
    if done.returncode == 0 and done.stdout == "apart\n":
        return ""
    said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return f"bubblewrap does not keep apart: {said[:300]}"


def tasks_are_countable(*, apart: bool) -> bool:
    """Whether the kernel's limit by user means this container alone: by a user of its own, or by its namespace."""
    if sys.platform != "linux":
        return False
    if os.geteuid() == 0:
        return True
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return apart and release is not None and (int(release[1]), int(release[2])) >= COUNTED_BY_NAMESPACE


def has_filter() -> bool:
    calls = filter_descriptor()
    if calls is not None:
        os.close(calls)
    return calls is not None


def make_stage() -> Path:
    """A folder over which each container mounts a tmpfs that it alone sees; every user may pass it."""
    stage = Path(tempfile.mkdtemp(prefix=f"{STAGE}{os.getpid()}-", dir="/tmp"))
    stage.chmod(0o755)
    return stage
