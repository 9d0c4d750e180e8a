"""The frame of all tests: unit tests cannot touch the world, nothing is left running, every skip is accounted for."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from frame.network import stay_local
from frame.processes import Processes, end_leftovers
from frame.skips import Skips, read_allowed
from frame.suites import Times, place, suite_of

pytest_plugins = ["support.docker", "support.both_sandboxes"]
# carried by every process that descends from this session
MARKER, SESSION = "ML_SUBMISSION_TEST_SESSION", uuid.uuid4().hex
STRICT = os.environ.get("PIPELINE_SKIPS") == "strict"
TIMES, SKIPS = Times(), Skips()
FAULTS: list[str] = []
SUITES: set[str] = set()
"""Those of this session: there may be another one for the rest."""


def pytest_configure() -> None:
    os.environ[MARKER] = SESSION
    os.environ.pop("PIPELINE_SKIPS", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place(item.nodeid))
    SUITES.update(suite_of(item.nodeid) for item in items)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    TIMES.add(report)
    SKIPS.add(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    SKIPS.add(report)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    left = end_leftovers(MARKER, SESSION)
    FAULTS.extend(f"left running by a test: {one}" for one in left)
    if STRICT:
        allowed = read_allowed(Path(__file__).with_name("skips.toml"))
        FAULTS.extend(SKIPS.faults([one for one in allowed if suite_of(one.test) in SUITES]))
    if FAULTS and session.exitstatus == pytest.ExitCode.OK and (STRICT or left):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for title, lines in (("budgets", TIMES.lines()), ("faults", FAULTS), ("not run", SKIPS.lines())):
        if lines:
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def unit_tests_stay_here(request: pytest.FixtureRequest) -> None:
    """Unit tests reach loopback only, and neither the user's cache nor the user's settings."""
    if suite_of(request.node.nodeid) != "unit":
        return
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    stay_local(monkeypatch)
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(request.getfixturevalue("session_cache")))


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that is empty at the start of the session and gone after it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Starts processes that end with the test: `processes.start([...])` takes what Popen takes."""
    started = Processes()
    yield started
    started.end()
