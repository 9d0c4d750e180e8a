"""Children of a supervisor that was killed: noted while they run, ended before anything new starts in its folder."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from pipeline.embedded.processes import Recorded, recorded
from pipeline.embedded.sandbox.tree import kill, marked
from pipeline.embedded.sockets import remove_socket_folder
from pipeline.embedded.state import State
from pipeline.errors import InfrastructureError

CONTAINER = "container "
DYING_S = 2.0
"""a killed process is a zombie already while its last threads still hold its files, and so its lock"""


class TakenError(InfrastructureError):
    """Another process holds the state folder."""


@contextmanager
def holding(state: State, *, wait_s: float) -> Iterator[None]:
    """Holds the folder's lock; the kernel frees it however this process ends. Raises TakenError."""
    descriptor = os.open(state.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TakenError(
                        f"other embedded servers run in {state.folder}", hint="stop them, or name another folder"
                    ) from None
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def note_child(state: State, pid: int, name: str) -> None:
    """Adds a child to those that a next supervisor must end. Not synced to disk: after a power cut none is left."""
    child = recorded(pid, name)
    if child is not None:
        with state.children_file.open("a") as file:
            file.write(child.model_dump_json() + "\n")


def children(state: State) -> list[Recorded]:
    """Those noted and still running; a last line that a kill tore is left out."""
    lines = state.children_file.read_bytes().splitlines() if state.children_file.exists() else []
    found = []
    for line in lines:
        try:
            found.append(Recorded.model_validate_json(line))
        except ValidationError:
            continue
    return [one for one in found if one.find() is not None]


def end_children(state: State) -> list[str]:
    """Ends what the last supervisor of the folder left running; the names of what was. Hold the lock for it."""
    left = children(state)
    for one in left:
        one.end()
        if one.name.startswith(CONTAINER) and sys.platform == "linux":
            kill(marked(one.name.removeprefix(CONTAINER)))
    state.children_file.unlink(missing_ok=True)
    return [one.name for one in left]


def reap_children(state: State) -> None:
    """The same from outside; does nothing where a supervisor runs in the folder or there is no such folder."""
    if not state.folder.is_dir():
        return
    try:
        with holding(state, wait_s=DYING_S):
            end_children(state)
            state.ready_file.unlink(missing_ok=True)
            remove_socket_folder(state.folder)
    except TakenError:
        return
