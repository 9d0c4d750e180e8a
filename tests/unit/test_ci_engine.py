"""CI starts a docker engine only where none answers, waits for it, and ends that one alone; with stand-ins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from frame.processes import Processes
from support.runs import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CI runs on Linux")
DOCKER = """#!/bin/sh
[ -e answers ]
"""
DOCKERD = """#!/bin/sh
echo started >>starts
echo "cannot mount cgroups" >&2
[ ! -e broken ] || exit 1
trap 'rm -f answers; echo ended >>starts; exit' TERM
echo $$ >docker.pid
sleep 0.2
[ -e silent ] || touch answers
while true; do sleep 0.05; done
"""
SCRIPT = f"set -euo pipefail; . {ROOT}/.ci/engine; start_engine; engine_answers; echo tests run"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with stand-ins for docker and dockerd, which keep their state there."""
    for name, text in (("docker", DOCKER), ("dockerd", DOCKERD)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def ci(machine: Path, *, patience_s: int = 30) -> subprocess.CompletedProcess[str]:
    own = {"ENGINE_LOG": "log", "ENGINE_PID_FILE": "docker.pid", "ENGINE_PATIENCE_S": str(patience_s)}
    path = f"{machine}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", SCRIPT],
        cwd=machine,
        env=os.environ | own | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def starts(machine: Path) -> list[str]:
    return (machine / "starts").read_text().split() if (machine / "starts").exists() else []


def test_an_engine_is_started_waited_for_and_ended(machine: Path) -> None:
    (machine / "docker.pid").write_text("1")  # what a killed engine left: another's process by now
    done = ci(machine)
    assert (done.returncode, done.stdout) == (0, "tests run\n"), done.stderr
    assert starts(machine) == ["started", "ended"]


def test_one_that_answers_is_used_and_left_alone(machine: Path) -> None:
    (machine / "answers").touch()
    assert ci(machine).returncode == 0
    assert starts(machine) == [] and (machine / "answers").exists()


def test_one_that_is_starting_is_waited_for_and_left_alone(machine: Path, processes: Processes) -> None:
    other = processes.start([str(machine / "dockerd")], cwd=machine, stderr=subprocess.DEVNULL)
    while not (machine / "docker.pid").exists():
        assert other.poll() is None
    assert ci(machine).returncode == 0
    assert starts(machine) == ["started"]


@pytest.mark.parametrize(("fault", "says"), [("broken", "dockerd has ended"), ("silent", "no docker engine answers")])
def test_one_that_does_not_come_fails_the_run_and_says_why(machine: Path, fault: str, says: str) -> None:
    (machine / fault).touch()
    done = ci(machine, patience_s=1)
    assert done.returncode == 1 and "tests run" not in done.stdout
    assert says in done.stderr and "cannot mount cgroups" in done.stderr
