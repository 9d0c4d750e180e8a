"""The recordings of a real OpenWhisk in tests/openwhisk, and the action that was recorded."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "openwhisk"
FILES = ("1-api", "2-actions", "3-invocations", "4-activations")
AUTH = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP"
"""The key that the recorded client used, which every standalone OpenWhisk has."""

PROBE = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);"
    "text=open(sys.argv[1]).read().replace('8080',os.environ['PORT']);"
    "exec(compile(text,sys.argv[1],'exec'))"
)
PROBE_COMMAND = [sys.executable, "-u", "-c", PROBE, str(FOLDER / "probe" / "server.py")]
"""Runs the recorded action on the port in PORT instead of its fixed one."""


@dataclass(frozen=True)
class Exchange:
    """One request and its recorded answer. `answer` is text or, where it was long, its first part and its length."""

    name: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: str | None
    status: int
    answer_headers: Mapping[str, str]
    answer: Any
    unstable: bool = False


def exchanges(name: str) -> list[Exchange]:
    """The exchanges of one file, in their order."""
    lines = (FOLDER / "recorded" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    for one in found:
        one.pop("ms")
        one["headers"] = tuple((header, value) for header, value in one["headers"])
    return [Exchange(**one) for one in found]


def notes(name: str) -> dict[str, dict[str, Any]]:
    """The first exchange of each name in a file of notes."""
    found: dict[str, dict[str, Any]] = {}
    for one in json.loads((FOLDER / "notes" / f"{name}.json").read_text(encoding="utf-8")):
        found.setdefault(one["name"], one)
    return found
