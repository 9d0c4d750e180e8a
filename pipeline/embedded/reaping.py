"""Children of a supervisor that was killed: noted while they run, ended before anything new starts in its folder."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import TypeAdapter, ValidationError

from pipeline.embedded.processes import Recorded, recorded
from pipeline.embedded.state import State
from pipeline.errors import InfrastructureError
from pipeline.files import write_json

Records = TypeAdapter(tuple[Recorded, ...])


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
    """Adds a child to those that a next supervisor must end; forgets those that have ended."""
    child = recorded(pid, name)
    running = [one for one in children(state) if one.find() is not None]
    if child is not None:
        running.append(child)
    write_json(state.children_file, [one.model_dump() for one in running], mode=0o600)


def children(state: State) -> tuple[Recorded, ...]:
    try:
        return Records.validate_json(state.children_file.read_bytes())
    except (FileNotFoundError, ValidationError, json.JSONDecodeError):
        return ()


def end_children(state: State) -> list[str]:
    """Ends what the last supervisor of the folder left running; the names of what was. Hold the lock for it."""
    left = [one for one in children(state) if one.find() is not None]
    for one in left:
        one.end()
    state.children_file.unlink(missing_ok=True)
    return [one.name for one in left]


def reap_children(state: State) -> None:
    """The same from outside; does nothing where a supervisor runs in the folder or there is no such folder."""
    if not state.folder.is_dir():
        return
    try:
        with holding(state, wait_s=0):
            end_children(state)
            state.ready_file.unlink(missing_ok=True)
    except TakenError:
        return
