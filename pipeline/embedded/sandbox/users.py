"""Users for containers: numbers that no account has, each held by one container of this machine at a time."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
from pathlib import Path

UNUSED = range(1_879_048_192, 2_147_352_576)
"""Neither accounts, nor useradd's subordinate ids, nor systemd's containers (its "Users, Groups, UIDs and GIDs")."""
ELSEWHERE = range(200_000, 260_000)
"""On macOS, which has none of the above; by chance alone no two containers have the same."""
NOBODY = 65_534
FEW = 4096
TRIES = 100


class NoUserError(Exception):
    """Every number that was tried is taken."""


class User:
    """A number, held until `free` or until this process ends, however that ends.

    The name of an abstract Unix socket holds it: nobody else can bind the same, and the kernel frees it.
    """

    def __init__(self, number: int, held: socket.socket) -> None:
        self.number = number
        self.held = held

    def free(self) -> None:
        self.held.close()


def take_user() -> User:
    """A number that nobody holds. Raises NoUserError."""
    if sys.platform != "linux":
        return User(random.choice(ELSEWHERE), socket.socket())
    numbers = numbers_here(Path("/proc/self/uid_map").read_text())
    for number in random.sample(numbers, min(TRIES, len(numbers))):
        held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(OSError):
            held.bind(f"\0ml-submission-pipeline-user-{number}")
            return User(number, held)
        held.close()
    raise NoUserError(f"{TRIES} user numbers were tried, and all are taken")


def numbers_here(uid_map: str) -> range:
    """Those of `UNUSED`, or where this machine is itself a container with few numbers, its last ones."""
    ends = [int(first) + int(count) for first, _, count in (line.split() for line in uid_map.splitlines())]
    if max(ends) >= UNUSED.stop:
        return UNUSED
    end = min(max(ends), NOBODY)
    return range(max(1000, end - FEW), end)
