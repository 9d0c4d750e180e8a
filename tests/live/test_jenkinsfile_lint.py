"""npm-groovy-lint on the Jenkinsfile, with its rules for Jenkinsfiles: nothing that it calls an error or a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.jenkinsfile import JENKINSFILE, needed

# the last one for node 20
VERSION = "16.2.0"


def linter() -> Path:
    """The program, installed once into the user's cache."""
    if (reason := needed()) is not None or shutil.which("npm") is None:
        pytest.skip(f"npm-groovy-lint cannot be run: {reason or 'no npm here'}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ml-submission-pipeline"
    home = cache / f"npm-groovy-lint-{VERSION}"
    program = home / "node_modules" / ".bin" / "npm-groovy-lint"
    if not program.exists():
        home.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home)]
        done = subprocess.run(
            [*command, f"npm-groovy-lint@{VERSION}"], capture_output=True, text=True, check=False, timeout=240
        )
        if done.returncode:
            pytest.skip(f"npm-groovy-lint {VERSION} cannot be installed: {done.stderr.strip()[-200:]}")
    return program


@pytest.mark.slow
def test_the_linter_has_nothing_to_say(tmp_path: Path) -> None:
    shutil.copyfile(JENKINSFILE, tmp_path / "Jenkinsfile")
    rules = ["--config", "recommended-jenkinsfile", "--failon", "warning", "--noserver", "--no-insight"]
    done = subprocess.run(
        [linter(), "--path", tmp_path, "--files", "**/Jenkinsfile", *rules, "--loglevel", "warning"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 linted files" in done.stdout.replace("\x1b[1m", "").replace("\x1b[22m", "")
