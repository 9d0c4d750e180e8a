"""A submission's run that is killed at a point and goes on, and what it leaves."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.submissions.entry import Entry
from support.deaths import environment
from support.runs import EXAMPLES, ROOT, command
from support.submissions import START, submitted
from support.wheels import make_wheel

SMALLEST = ROOT / "tests" / "examples" / "smallest.toml"
MODEL = EXAMPLES / "mnist_train" / "model.py"
WAIT_S = 900.0
LEFT = {"source", "check", "render", "build"}
WHEEL = "tiny-helper"
SHORTER = {
    "train_rows = 2000": "train_rows = 300",
    "test_rows = 1000": "test_rows = 100",
    "at_least = 0.2": "at_least = 0",
}
"""Steps enough for each kind of point, and no more: what is learnt matters as little as how fast."""


def shortest_course(folder: Path, *, cache: Path | None = None) -> Path:
    """A course whose only job trains as shortly as one can; with a cache of its own, a wheel of its own too."""
    text = SMALLEST.read_text()
    for long, short in SHORTER.items():
        assert long in text
        text = text.replace(long, short)
    folder.mkdir(parents=True)
    if cache is not None:
        cache.mkdir()
        make_wheel(folder / "wheels", WHEEL)
        text = f'wheels = "{folder}/wheels"\ncache = "{cache}"\n{text}'
    file = folder / "course.toml"
    file.write_text(text)
    return file


def training(folder: Path, requirements: str = "") -> Entry:
    return submitted(folder, "small", {"model.py": MODEL.read_text(), "requirements.txt": requirements})


def started(arguments: list[str], variables: dict[str, str]) -> tuple[int, str]:
    """A process of its own; its exit code and output."""
    done = subprocess.run(
        command(*arguments),
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return done.returncode, done.stdout


@dataclass(frozen=True)
class Command:
    """`pipeline run` of one commit under one id, as a dispatcher's worker calls it again after each death."""

    entry: Entry
    course: Path
    start: Callable[[list[str], dict[str, str]], tuple[int, str]] = started

    def __call__(self, folder: Path, die_at: str | int = "", log: Path | None = None) -> tuple[int, str]:
        """Exit code and output."""
        return self.called(["run", *self.submission()], folder, die_at, log)

    def stage(self, name: str, folder: Path, die_at: str | int = "", log: Path | None = None) -> tuple[int, str]:
        """The same of `pipeline stage NAME`."""
        return self.called(["stage", name, *(self.submission() if name == "fetch" else [])], folder, die_at, log)

    def submission(self) -> list[str]:
        entry = self.entry
        asked = [entry.repository, "--ref", entry.new, "--course", str(self.course), "--id", "one"]
        return [*asked, "--assignment", entry.assignment, "--arrived", START.isoformat()]

    def called(self, words: list[str], folder: Path, die_at: str | int, log: Path | None) -> tuple[int, str]:
        return self.start([*words, "--out", str(folder)], environment(die_at, log))


def graded(folder: Path) -> dict[str, object]:
    """What a push gets, the same however often its run was killed; the hidden test set is another in each run."""
    result = json.loads((folder / "result.json").read_text())
    model = folder / "model.safetensors"
    kept = {key: result[key] for key in ("run", "outcome", "points", "attempt", "submission")}
    return kept | {"model": sha256(model) if model.exists() else ""}


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def left_by(folder: Path) -> dict[str, object]:
    """What the stages before execution leave for those after them: files by their hashes, the record without times.

    A file that was being written when its writer died stays beside it under a name that nobody reads.
    """
    paths = [one for name in LEFT for one in (folder / name).rglob("*") if one.is_file() and one.name[0] != "."]
    files: dict[str, object] = {str(one.relative_to(folder)): sha256(one) for one in paths}
    record = json.loads((folder / "record.json").read_text())
    del record["created"]
    stages = [(one["name"], one["status"]) for one in record.pop("stages")]
    record["image"] = {key: value for key, value in (record["image"] or {}).items() if key != "cached"}
    return files | {f"record: {key}": value for key, value in record.items()} | {"stages": stages}


def left_running(folder: Path) -> list[str]:
    return [" ".join(one.info["cmdline"]) for one in processes_of(folder)]


def processes_of(folder: Path) -> list[psutil.Process]:
    """Those that name it, or something in it, on their command lines."""
    every = psutil.process_iter(["cmdline"])
    return [one for one in every if str(folder) in " ".join(one.info["cmdline"] or ())]


def outcome_of(folder: Path) -> str | None:
    found: str | None = json.loads((folder / "record.json").read_text())["outcome"]
    return found
