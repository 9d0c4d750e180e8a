"""deploy/ as tests see it: what Compose makes of its files, the secrets that its script makes, what Jenkins is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TRIES = 3
SETTINGS = {"DOMAIN": "course.example", "COURSE": "example-course", "COMPOSE_PROFILES": "controller,agent"}


def loader(folder: Path) -> Path:
    """Compose's own loader as a program, made of its Go module. Skips where there is no Go."""
    if shutil.which("go") is None:
        pytest.skip("no Go here, which makes Compose's own loader of tests/compose")
    program = folder / "check"
    command = ["go", "build", "-o", str(program), "."]
    for _ in range(TRIES):  # the first time on a machine it fetches modules
        built = subprocess.run(command, cwd=ROOT / "tests" / "compose", capture_output=True, text=True)
        if built.returncode == 0:
            return program
    pytest.fail(built.stderr)


def load(compose: Path, folder: Path, file: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **settings}
    return subprocess.run([compose, folder, file], capture_output=True, text=True, env=environment, timeout=120)


def loaded(compose: Path) -> dict[str, Any]:
    """The deployment as Compose understands it, all profiles."""
    done = load(compose, DEPLOY, DEPLOY / "compose.yaml", **SETTINGS)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def make_secrets(folder: Path) -> None:
    """As staff make them."""
    done = subprocess.run(["sh", DEPLOY / "secrets.sh", folder], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def casc() -> Any:
    """What Jenkins' configuration as code says."""
    return yaml.safe_load((DEPLOY / "jenkins" / "jenkins.yaml").read_text())


def texts_of(value: Any) -> Iterator[str]:
    """Every text in it, keys too."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for one in value:
            yield from texts_of(one)
    elif isinstance(value, str):
        yield value


def plugins() -> dict[str, str]:
    """Name -> version, as Jenkins' image is built with."""
    lines = (DEPLOY / "jenkins" / "plugins.txt").read_text().splitlines()
    pairs = [line.partition(":") for line in lines if line and not line.startswith("#")]
    assert len({name for name, _, _ in pairs}) == len(pairs), "a plugin stands twice"
    return {name: version for name, _, version in pairs}
