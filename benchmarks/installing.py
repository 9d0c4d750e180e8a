"""How much memory and time installing a large wheel takes, the whole process tree measured from outside.

    python -m benchmarks.installing WHEEL

WHEEL is a file such as the CPU build of torch (183 MB). Memory is that of uv and of all that it
starts, sampled: the proportional set size, in which a page that several of them map is shared among them.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.environments import install
from pipeline.package_tool import PackageTool

MB = 2**20
SAMPLES_A_SECOND = 50


@dataclass
class Peak:
    """The largest sum of proportional set sizes seen, in bytes."""

    size: int = 0


@dataclass(frozen=True)
class Measured:
    wheel_mb: float
    installed_mb: float
    seconds: float
    peak_mb: float


@contextmanager
def watching_children() -> Iterator[Peak]:
    """Samples the memory of all processes that begin below this one until the block ends."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        this = psutil.Process()
        others = set(this.children(recursive=True))
        while not done.wait(1 / SAMPLES_A_SECOND):
            total = 0
            for child in set(this.children(recursive=True)) - others:
                with suppress(psutil.NoSuchProcess):
                    total += child.memory_full_info().pss
            peak.size = max(peak.size, total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def measure(wheel: Path) -> Measured:
    """Installs a wheel into a new folder as the build stage does, from a cold cache."""
    digest = hashlib.sha256()
    with wheel.open("rb") as file:
        while block := file.read(MB):
            digest.update(block)
    name, version = wheel.name.split("-")[:2]
    with tempfile.TemporaryDirectory(prefix="installing-") as scratch:
        lock, target = Path(scratch, "lock"), Path(scratch, "packages")
        lock.write_text(f"{name}=={version} --hash=sha256:{digest.hexdigest()}\n")
        begun = time.monotonic()
        with watching_children() as peak:
            install(
                lock, target, PackageTool(Path(scratch, "cache"), wheels=(str(wheel.parent),)), ("--compile-bytecode",)
            )
        seconds = time.monotonic() - begun
        installed = sum(path.lstat().st_size for path in target.rglob("*"))
    return Measured(wheel.stat().st_size / MB, installed / MB, seconds, peak.size / MB)


def main() -> None:
    parser = argparse.ArgumentParser(description="memory and time of installing a large wheel")
    parser.add_argument("wheel", type=Path)
    found = measure(parser.parse_args().wheel)
    print(f"{'wheel MB':>10} {'installed MB':>13} {'seconds':>8} {'peak MB':>8}")
    print(f"{found.wheel_mb:10.0f} {found.installed_mb:13.0f} {found.seconds:8.1f} {found.peak_mb:8.0f}")


if __name__ == "__main__":
    main()
