"""Seconds of each stage of the main job: a first run, then ones with one line of code changed, on both sandboxes.

    python -m benchmarks.docker_run [--runs 2] [--course course.toml]

Without a course file the main job is practice; a course file may name a registry and a store. The base is there before
(`pipeline base build`), data and locks are cached by the first run of all, which is not counted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "submissions_example" / "mnist_train"
SANDBOXES = ("process", "docker")
EXECUTE = "execute"


def run(folder: Path, out: Path, sandbox: str, course: Path | None) -> dict[str, float]:
    """Seconds by stage of `pipeline run`."""
    options = ["--sandbox", sandbox, *(["--course", str(course)] if course else [])]
    command = [sys.executable, "-m", "pipeline", "run", str(folder), "--out", str(out), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout)
    forget_image(out, sandbox)
    stages = json.loads((out / "result.json").read_text())["stages"]
    return {stage["name"]: stage["seconds"] for stage in stages}


def forget_image(out: Path, sandbox: str) -> None:
    if sandbox == "docker":
        image = json.loads((out / "record.json").read_text())["image"]["reference"]
        subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=False)


def change(folder: Path, number: int) -> None:
    with (folder / "model.py").open("a") as file:
        file.write(f"CHANGED = {number}\n")


def measure(sandbox: str, runs: int, course: Path | None) -> list[dict[str, float]]:
    """A first run and `runs` further ones, each with one line changed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "submission"
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        found = []
        for number in range(runs + 1):
            change(folder, number)
            found.append(run(folder, Path(place) / f"run-{number}", sandbox, course))
        return found


def show(sandbox: str, found: list[dict[str, float]]) -> None:
    for number, stages in enumerate(found):
        around = sum(seconds for name, seconds in stages.items() if name != EXECUTE)
        single = "  ".join(f"{name} {seconds:.1f}" for name, seconds in stages.items())
        kind = "first" if number == 0 else "one line changed"
        print(f"{sandbox:<8} {kind:<17} all but execute {around:5.1f} s, execute {stages[EXECUTE]:5.1f} s: {single}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2, help="with a line changed")
    parser.add_argument("--course", type=Path)
    given = parser.parse_args()
    executed = {}
    for sandbox in SANDBOXES:
        found = measure(sandbox, given.runs, given.course)
        show(sandbox, found)
        executed[sandbox] = min(stages[EXECUTE] for stages in found)
    print(f"execute, docker to process: {executed['docker'] / executed['process']:.2f}")


if __name__ == "__main__":
    main()
