"""Runs the command line as a user does, and reads what a run leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "submissions_example"
COURSE = ROOT / "tests" / "examples" / "course.toml"
TWICE = ("--set", "epochs=2")
LONGER = "epochs = 2\n"
"""In a command or a submission.toml: the main job trains long enough to be interrupted twice on a busy machine."""
UNHURRIED = """

import time

at_once = augment


def augment(images: Tensor) -> Tensor:
    time.sleep(0.05)
    return at_once(images)
"""
PATIENCE_S = 280


@dataclass(frozen=True)
class Finished:
    """One command that has ended."""

    code: int
    output: str
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return loaded

    @property
    def report(self) -> str:
        return (self.folder / "report.html").read_text()


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", *map(str, arguments)]


def pipeline(*arguments: str | Path, out: Path, **environment: str) -> Finished:
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Finished(done.returncode, done.stdout, out)


def submit(source: Path, out: Path, *options: str, course: Path | None = COURSE) -> Finished:
    """`pipeline run SOURCE --out OUT`, on the small assignment of the tests unless another course is given."""
    of_course = ["--course", str(course)] if course else []
    return pipeline("run", source, "--out", out, *of_course, *options, out=out)


def unhurried(folder: Path) -> Path:
    """The main job with a pause in each step, which costs no processor's time: whoever interrupts it comes in time."""
    source = folder / "submission"
    shutil.copytree(EXAMPLES / "mnist_train", source, ignore=shutil.ignore_patterns("__pycache__"))
    with (source / "model.py").open("a") as model:
        model.write(UNHURRIED)
    return source


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """A command that the test will stop."""
    return subprocess.Popen(command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
