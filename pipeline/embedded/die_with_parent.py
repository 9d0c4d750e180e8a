"""Run as a script: becomes another program that the kernel ends when the process that started it ends.

    python -I -S die_with_parent.py PARENT LISTENER PROGRAM [ARGUMENT ...]

PARENT is the starter's pid. LISTENER is the number of a listening socket to hand on, as systemd's socket activation
does (LISTEN_FDS, from descriptor 3 on), or -1. Only the standard library: it starts in a few milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
FIRST_LISTENER = 3


def die_with_parent() -> None:
    """From now on the kernel kills this process when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(parent: int, listener: int, command: list[str]) -> None:
    """Never returns. On macOS, which has no such signal, the next supervisor reaps what was left."""
    die_with_parent()
    if os.getppid() != parent:  # it ended before the call above
        sys.exit(1)
    if listener >= 0:
        if listener != FIRST_LISTENER:
            os.dup2(listener, FIRST_LISTENER)
            os.close(listener)
        os.set_inheritable(FIRST_LISTENER, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
