"""Run as a script: runs a program, and writes the CPU seconds that it and all that it started have used.

    python -m benchmarks.accounted FILE PROGRAM [ARGUMENT ...]

What outlives its parent becomes a child of this process (Linux' subreaper), and is counted when it ends. SIGINT and
SIGTERM are passed on to the program; this process ends when nothing is left.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main(file: Path, command: list[str]) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(command)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: os.kill(process.pid, received))
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    file.write_text(f"{used.ru_utime + used.ru_stime}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
