"""What a container inherits: the socket that it serves, the filter of its system calls, the pipe that it reports on."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from pipeline.embedded.sandbox.system_calls import filter_of_calls

BACKLOG = 16


def filter_descriptor() -> int | None:
    """A descriptor from which bubblewrap reads the filter; None where there is none for this machine."""
    program = filter_of_calls(os.uname().machine)
    if sys.platform != "linux" or not program:
        return None
    descriptor = os.memfd_create("calls")
    os.write(descriptor, program)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def listener_at(path: Path) -> socket.socket:
    """The socket that the program serves, made outside: nothing that it can write to is bound in."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


async def stands(descriptor: int, wait_s: float) -> bool:
    """Whether a byte came, so the sandbox was made, or the other end was closed without. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[bool] = loop.create_future()

    def readable() -> None:
        loop.remove_reader(descriptor)
        came.set_result(bool(os.read(descriptor, 1)))

    loop.add_reader(descriptor, readable)
    try:
        async with asyncio.timeout(wait_s):
            return await came
    finally:
        loop.remove_reader(descriptor)
