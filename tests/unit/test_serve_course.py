"""What `pipeline serve --course` keeps running beside the dispatcher."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.submissions import course_folder

from pipeline.cli import serve_course
from pipeline.cli.app import call
from pipeline.cli.serve_course import KeptProcess, refuse_taken
from pipeline.errors import USAGE_EXIT_CODE, UsageError
from pipeline.submissions.dispatching import only_dispatcher

PATIENCE_S = 60.0


class Kept:
    """A process that does nothing; `told` is set when something was said of it."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.told = threading.Event()
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        self.process = KeptProcess("the pages", command, folder / "pages.log", self.complain)

    def complain(self, said: str) -> None:
        self.said.append(said)
        self.told.set()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    monkeypatch.setattr(serve_course, "AGAIN_S", 0.0)
    made = Kept(tmp_path)
    yield made
    made.process.end()
    assert made.process.process.returncode is not None


def test_pages_that_were_killed_are_started_again_and_that_is_said(kept: Kept) -> None:
    first = kept.process.process
    kept.process.watch()
    first.kill()
    assert kept.told.wait(PATIENCE_S)
    with kept.process.starting:
        pass
    assert "code -9" in kept.said[0]
    assert "pages.log" in kept.said[0]
    waited = threading.Event()
    while kept.process.process is first:
        waited.wait(0.01)
    assert kept.process.process.poll() is None


def test_a_second_server_of_a_course_goes_and_changes_nothing_of_the_first(tmp_path: Path) -> None:
    """Which may be telling its pushers just now that it stops."""
    course = course_folder(tmp_path)
    with only_dispatcher(course):
        course.closing_file.touch()
        assert call(["serve", "--course", str(course.folder), "--pages-port", "1"]) == USAGE_EXIT_CODE
        assert course.closing_file.exists()


def test_a_port_that_is_taken_is_named_with_the_option_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="cannot be served") as refused:
            refuse_taken("127.0.0.1", taken.getsockname()[1])
    assert "--pages-port" in refused.value.hint


def test_what_is_ended_stays_ended(kept: Kept) -> None:
    kept.process.watch()
    kept.process.end()
    assert kept.process.process.poll() is not None
    assert kept.said == []
