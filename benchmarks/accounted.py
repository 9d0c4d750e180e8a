"""Run as a script: runs a program, and writes the CPU seconds that it and all that it started have used.

    python -m benchmarks.accounted FILE PROGRAM [ARGUMENT ...]

What outlives its parent becomes a child of this process (Linux' subreaper), and is counted when it ends. What is killed
with its PID namespace, as sandboxed workers are, is reaped by the kernel and counted for nobody: those are looked at
four times a second, and what they used after the last look is missing. SIGINT and SIGTERM are passed on to the program;
this process ends when nothing is left.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LOOK_S = 0.25
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Namespaces:
    """CPU seconds of processes in other PID namespaces below this one, by pid and start.

    The first process of a namespace is waited for by its parent outside, which counts it and what it has reaped.
    """

    used: dict[tuple[int, int], float] = field(default_factory=dict)
    reaped: dict[tuple[int, int], float] = field(default_factory=dict)

    def look(self) -> None:
        own = Path("/proc/self/ns/pid").readlink()
        for pid in below(os.getpid()):
            with suppress(OSError, IndexError):  # it has ended
                if Path(f"/proc/{pid}/ns/pid").readlink() != own:
                    fields = stat(pid)
                    key = (pid, int(fields[19]))
                    if is_first(pid):
                        self.reaped[key] = sum(map(int, fields[13:15])) / TICKS_A_SECOND
                    else:
                        self.used[key] = sum(map(int, fields[11:13])) / TICKS_A_SECOND

    def look_on(self, over: threading.Event) -> None:
        while not over.wait(LOOK_S):
            self.look()

    @property
    def seconds(self) -> float:
        """What no `wait` outside has counted."""
        return max(0.0, sum(self.used.values()) - sum(self.reaped.values()))


def is_first(pid: int) -> bool:
    """Whether it is number 1 of its PID namespace (proc(5): NSpid ends with the number in there)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in lines)


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (proc(5): the first is the state, number 3)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def below(pid: int) -> Iterator[int]:
    """All descendants of a process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                children.setdefault(int(stat(int(entry.name))[1]), []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            yield child
            waiting.append(child)


def main(file: Path, command: list[str]) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(command)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: os.kill(process.pid, received))
    namespaces, over = Namespaces(), threading.Event()
    looking = threading.Thread(target=namespaces.look_on, args=(over,))
    looking.start()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    over.set()
    looking.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    file.write_text(f"{used.ru_utime + used.ru_stime + namespaces.seconds}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
