"""Where the recordings of a real OpenWhisk lie: outside the repository, so that tests may not find them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]
PROBE = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);"
    "text=open(sys.argv[1]).read().replace('8080',os.environ['PORT']);"
    "exec(compile(text,sys.argv[1],'exec'))"
)


def recordings() -> Path:
    """The folder with `replay`, `recorded` and `probe`; skips the test aloud where there is none."""
    folder = Path(os.environ.get("OPENWHISK_RECORDINGS") or HERE.parent / "shared" / "openwhisk")
    if not (folder / "replay").exists():
        pytest.skip(f"the recordings of a real OpenWhisk are not in {folder}: set OPENWHISK_RECORDINGS")
    return folder


def probe_command(folder: Path) -> list[str]:
    """Runs the recorded action on the port in PORT instead of its fixed one."""
    return [sys.executable, "-u", "-c", PROBE, str(folder / "probe" / "server.py")]
