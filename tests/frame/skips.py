"""Skipped tests, compared with the committed list: what is not run is known, or it is an error."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

COMMAND = "sudo bash .ci/run"


@dataclass(frozen=True)
class Allowed:
    """Tests whose id matches the pattern `test` may be skipped for a reason that holds `says`; people read `why`."""

    test: str
    says: str
    why: str

    def covers(self, test: str, reason: str) -> bool:
        return fnmatchcase(test, self.test) and self.says in reason


def read_allowed(file: Path) -> list[Allowed]:
    return [Allowed(**entry) for entry in tomllib.loads(file.read_text()).get("skip", [])]


class Skips:
    """What was skipped in a session, each test with its reason."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.found[report.nodeid] = reason.removeprefix("Skipped: ")

    def faults(self, allowed: list[Allowed]) -> list[str]:
        """Skips that no entry allows, and entries that nothing was skipped for."""
        unlisted = [
            f"skipped, but not in tests/skips.toml: {test}: {reason}"
            for test, reason in sorted(self.found.items())
            if not any(entry.covers(test, reason) for entry in allowed)
        ]
        unused = [
            f"in tests/skips.toml, but nothing was skipped for it: {entry.test} ({entry.says})"
            for entry in allowed
            if not any(entry.covers(test, reason) for test, reason in self.found.items())
        ]
        return unlisted + unused

    def lines(self) -> list[str]:
        counts = Counter(self.found.values())
        lines = [f"{count} test{'s' * (count > 1)}: {reason}" for reason, count in counts.most_common()]
        return [*lines, f"as far as a machine can have it, this makes it possible: {COMMAND}"] if lines else []
