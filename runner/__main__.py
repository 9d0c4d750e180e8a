"""`python -m runner`: serves the container protocol on RUNNER_LISTEN_FD, else on TCP RUNNER_BIND:PORT.

By hand, in a checkout: `PORT=8099 python -m runner`, then `curl -d '{"value": {...}}' localhost:8099/run`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from runner.action import Action
from runner.errors import RunnerError
from runner.logs import Logs
from runner.server import Server
from runner.student import code_folder


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal_action())
    sys.path[:] = [str(Path(entry).absolute()) for entry in sys.path]
    try:
        listener = listen()
        os.chdir(code_folder())
    except (OSError, ValueError, RunnerError) as error:
        sys.exit(f"runner: {error}")
    action = Action(Logs())
    if sys.stderr.isatty():
        print(f"runner: listening on {listener.getsockname()}", file=sys.stderr)
    threading.Thread(target=Server(listener, action).serve_forever, daemon=True).start()
    action.serve()


def signal_action() -> Callable[[int, FrameType | None], None] | signal.Handlers:
    """The kernel's own: at once, and no student's `except` catches it. Process 1 has none, and gets a handler."""
    return (lambda number, _: os._exit(128 + number)) if os.getpid() == 1 else signal.SIG_DFL


def listen() -> socket.socket:
    """Raises OSError or ValueError, which say what is wrong with the variable or the address."""
    descriptor = os.environ.pop("RUNNER_LISTEN_FD", "")
    if descriptor:
        if not descriptor.isdigit():
            raise ValueError(f"RUNNER_LISTEN_FD is no number of a file descriptor: {descriptor!r}")
        listener = socket.socket(fileno=int(descriptor))
        listener.set_inheritable(False)
        return listener
    port = os.environ.get("PORT") or "8080"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"PORT is no number of a port: {port!r}")
    address = (os.environ.get("RUNNER_BIND") or "0.0.0.0", int(port))
    return socket.create_server(address, backlog=64)


if __name__ == "__main__":
    main()
