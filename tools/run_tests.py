"""Runs the suites in two sessions of pytest at a time, since most tests wait more than they compute.

The first session's output comes as it runs, the second's after it. A few tests that failed beside others are run once
more, alone, and named: what fails again, or more than a few, fails the run. Exits with the worst code.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TESTS_FAILED = 1
MOST_ONCE_MORE = 6


@dataclass(frozen=True)
class Session:
    """Suites that run one after another. `name` is that of its cache, where pytest notes what failed."""

    name: str
    suites: tuple[str, ...]

    @property
    def cache(self) -> Path:
        return Path(".pytest_cache", self.name)

    def start(self, output: IO[bytes] | None, *options: str) -> subprocess.Popen[bytes]:
        paths = [f"tests/{suite}" for suite in self.suites]
        durations = ["--durations=15", "--durations-min=10"]
        command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={self.cache}", *durations, *options, *paths]
        return subprocess.Popen(command, stdout=output, stderr=output)

    def failed(self) -> list[str]:
        """The tests that failed in its last run; none where pytest could not even note them."""
        try:
            return sorted(json.loads((self.cache / "v" / "cache" / "lastfailed").read_text()))
        except (OSError, ValueError):
            return []

    def forget(self) -> None:
        (self.cache / "v" / "cache" / "lastfailed").unlink(missing_ok=True)


FIRST = Session("first", ("unit", "golden", "contract", "hostile"))
SECOND = Session("second", ("examples", "live"))


def main() -> int:
    compile_own()
    # both get the terminal's Ctrl-C themselves, and end in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return max((once_more(*ended) for ended in at_a_time()), key=abs)


def compile_own() -> None:
    """Bytecode of what tests start hundreds of times, which Python keeps by itself only where it may write."""
    for folder in ("pipeline", "runner", "tests"):
        compileall.compile_dir(folder, quiet=1, workers=0)


def at_a_time() -> list[tuple[Session, int]]:
    """Both sessions, each with its exit code."""
    FIRST.forget()
    SECOND.forget()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "output")
        with kept.open("wb") as output:
            first, second = FIRST.start(None), SECOND.start(output)
        codes = [first.wait()]
        print(f"\nmeanwhile: {', '.join(SECOND.suites)}\n", flush=True)
        with kept.open("rb") as written:
            while len(codes) < 2:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    codes.append(second.wait(1.0))
                sys.stdout.buffer.write(written.read())
                sys.stdout.buffer.flush()
    return list(zip((FIRST, SECOND), codes, strict=True))


def once_more(session: Session, code: int) -> int:
    """The code of a session, after its few failed tests have run again with the machine to themselves."""
    failed = session.failed()
    if code != TESTS_FAILED or not 0 < len(failed) <= MOST_ONCE_MORE:
        return code
    print("\nonce more, alone, after failing beside others:", *failed, sep="\n  ", flush=True)
    return session.start(None, "--last-failed").wait()


if __name__ == "__main__":
    missing = [suite for one in (FIRST, SECOND) for suite in one.suites if not Path("tests", suite).is_dir()]
    if missing:
        sys.exit(f"no such suites here: {', '.join(missing)}; run this from the project's folder")
    sys.exit(main())
