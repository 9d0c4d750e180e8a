"""Deadline night: pushes of many students within a minute, graded by `pipeline serve --course` on this machine.

    python -m benchmarks.burst [--students 100] [--seconds 60] [--slots N]

Each submission trains on 2,000 images for one epoch in the process sandbox, through all nine stages. Prints how many
were graded, medians and 95th percentiles of push-to-first-line and push-to-report in seconds, and the report's
percentile over W / cores, W being the CPU seconds that `pipeline serve` and all that it started used in this burst, the
pushers' git and hooks not among them. Run it on a machine that does nothing else; the load before it is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student, create_course

ROOT = Path(__file__).resolve().parents[1]
LOAD = os.getloadavg()[0]
SOURCE = ROOT / "submissions_example" / "mnist_train"
PLACE = re.compile(r"waiting, place (\d+) of")
COURSE = ROOT / "tests" / "examples" / "smallest.toml"


@dataclass
class Pushed:
    """Seconds from the start of one push to its first line and to the report, and the places it was told."""

    student: str
    first_line_s: float = 0.0
    report_s: float = 0.0
    places: list[int] = field(default_factory=list)
    said: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0, help="within which all push")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="burst-") as folder:
        print(json.dumps(measure(Path(folder), asked.students, asked.seconds, asked.slots), indent=2))


def measure(folder: Path, students: int, seconds: float, slots: int) -> dict[str, object]:
    course = create_course(folder / "course", COURSE)
    pushes = [Pushed(f"student-{number:03}") for number in range(students)]
    for one in pushes:
        add_student(course, one.student)
        clone(folder / one.student, course.repository(one.student, "small"))
    with served(course, slots):
        begun = time.monotonic()
        threads = [
            threading.Thread(target=push, args=(one, folder / one.student, number * seconds / students))
            for number, one in enumerate(pushes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        whole = time.monotonic() - begun
    return figures(pushes, Spool(course.spool).over(), whole, float((course.folder / "cpu_seconds").read_text()))


def figures(pushes: list[Pushed], over: list[Entry], whole: float, work: float) -> dict[str, object]:
    first, report = ([getattr(one, name) for one in pushes] for name in ("first_line_s", "report_s"))
    share = work / (psutil.cpu_count() or 1)
    return {
        "pushes": len(pushes),
        "graded": sum(one.state is State.GRADED for one in over),
        "lost": len(pushes) - len(over),
        "told their place": sum(bool(one.places) for one in pushes),
        "started at once": sum(not one.places and one.report_s > 0 for one in pushes),
        "last place told": max((place for one in pushes for place in one.places), default=0),
        "first line, median s": round(statistics.median(first), 2),
        "first line, 95th percentile s": round(percentile(first), 2),
        "report, median s": round(statistics.median(report), 1),
        "report, 95th percentile s": round(percentile(report), 1),
        "whole s": round(whole, 1),
        "W, CPU s": round(work, 1),
        "CPU s a submission": round(work / len(pushes), 2),
        "95th percentile over W / cores": round(percentile(report) / share, 2),
        "cores kept busy": round(work / whole, 2),
        "load before": round(LOAD, 2),
    }


def percentile(values: list[float]) -> float:
    return sorted(values)[max(0, round(0.95 * len(values)) - 1)]


def clone(folder: Path, repository: Path) -> None:
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "submission.toml").write_text('kind = "train"\n')
    identity = ["-c", "user.name=student", "-c", "user.email=student@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "--all"], [*identity, "commit", "-q", "-m", "work"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    subprocess.run(["git", "-C", str(folder), "remote", "add", "origin", str(repository)], check=True)


def push(one: Pushed, folder: Path, wait_s: float) -> None:
    time.sleep(wait_s)
    begun = time.monotonic()
    command = ["git", "-C", str(folder), "push", "origin", "main"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None, "a pipe"
        for line in process.stderr:
            if line.startswith("remote: submission"):
                one.first_line_s = time.monotonic() - begun
            elif line.startswith("remote: report:"):
                one.report_s = time.monotonic() - begun
            elif found := PLACE.search(line):
                one.places.append(int(found[1]))
            one.said = line


@contextmanager
def served(course: CourseFolder, slots: int) -> Iterator[None]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.accounted", str(course.folder / "cpu_seconds")]
    command += [sys.executable, "-m", "pipeline", "serve", "--course", str(course.folder)]
    with (course.folder / "serve.log").open("ab") as log:
        process = subprocess.Popen([*command, "--pages-port", str(port), "--slots", str(slots)], stdout=log, stderr=log)
    try:
        while "Ctrl-C" not in (course.folder / "serve.log").read_text():
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


if __name__ == "__main__":
    main()
