"""Suites are the folders of tests/: their order, cheapest first, and how many minutes each may take."""

from __future__ import annotations

from collections import defaultdict

import pytest

BUDGET_MINUTES = {"unit": 4, "golden": 1, "contract": 16, "hostile": 8, "examples": 27, "live": 4}
ORDER = list(BUDGET_MINUTES)


def suite_of(nodeid: str) -> str:
    """`tests/unit/test_x.py::test_y` -> unit."""
    parts = nodeid.split("::")[0].split("/")
    return parts[1] if len(parts) > 2 else ""


def place(nodeid: str) -> int:
    suite = suite_of(nodeid)
    return ORDER.index(suite) if suite in ORDER else len(ORDER)


class Times:
    """Seconds that each suite took, its fixtures included."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, report: pytest.TestReport) -> None:
        self.seconds[suite_of(report.nodeid)] += report.duration

    def lines(self) -> list[str]:
        return [
            f"{suite:<9} {seconds / 60:5.1f} of {BUDGET_MINUTES[suite]} minutes"
            + (": over its budget" if seconds > 60 * BUDGET_MINUTES[suite] else "")
            for suite, seconds in sorted(self.seconds.items(), key=lambda item: place(f"tests/{item[0]}/"))
            if suite in BUDGET_MINUTES
        ]
