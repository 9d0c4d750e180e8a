"""npm's own `openwhisk`, of one exact version, in a folder of the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from frame.processes import Processes

from support.openwhisk import Server
from support.recordings import FOLDER

PACKAGE = "openwhisk@3.21.9"
INSTALL_S = 120


def installed() -> Path:
    """The folder with `node_modules`; skips the test aloud where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ml-submission-tests"
    folder = cache / PACKAGE.replace("@", "-")
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=cache))
        options = ["--prefix", str(fresh), "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(
            [npm, "install", *options, PACKAGE], capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
        if done.returncode:
            shutil.rmtree(fresh)
            pytest.skip(f"npm cannot install {PACKAGE}: {done.stderr.strip().splitlines()[-1:]}")
        fresh.rename(folder)
    return folder


class NpmClient:
    """One running client: `client("actions", "invoke", name="a", blocking=True)`."""

    def __init__(self, processes: Processes, server: Server) -> None:
        folder = installed()
        known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._process = processes.start(
            ["node", str(FOLDER / "client.cjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **known,
                "NODE_PATH": str(folder / "node_modules"),
                "SERVER": json.dumps([server.apihost, server.auth]),
            },
        )

    def __call__(self, of: str, do: str, **options: Any) -> dict[str, Any]:
        """The answer in `ok`, or what the client raised: `status`, `error`, `body`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"of": of, "do": do, "options": options}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def ok(self, of: str, do: str, **options: Any) -> Any:
        answer = self(of, do, **options)
        assert "ok" in answer, answer
        return answer["ok"]
