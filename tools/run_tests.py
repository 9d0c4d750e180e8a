"""Runs the suites in two sessions of pytest at a time, since most tests wait more than they compute.

The first session's output comes as it runs, the second's after it. Exits with the worse of the two codes.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

SESSIONS = (("unit", "golden", "contract", "hostile", "live"), ("examples",))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "output")
        with kept.open("wb") as output:
            first, second = start(SESSIONS[0], None), start(SESSIONS[1], output)
        # both get the terminal's Ctrl-C themselves, and end in order
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        codes = [first.wait()]
        print(f"\nmeanwhile: {', '.join(SESSIONS[1])}\n", flush=True)
        with kept.open("rb") as written:
            while len(codes) < 2:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    codes.append(second.wait(1.0))
                sys.stdout.buffer.write(written.read())
                sys.stdout.buffer.flush()
    return max(codes, key=abs)


def start(suites: tuple[str, ...], output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", *(f"tests/{suite}" for suite in suites)]
    return subprocess.Popen(command, stdout=output, stderr=output)


if __name__ == "__main__":
    missing = [suite for suites in SESSIONS for suite in suites if not Path("tests", suite).is_dir()]
    if missing:
        sys.exit(f"no such suites here: {', '.join(missing)}; run this from the project's folder")
    sys.exit(main())
