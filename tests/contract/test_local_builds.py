"""Workers of this machine as builds: one at a time of a submission, stopped wherever they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.submissions import course_folder, entry

from pipeline.backends.ci import local
from pipeline.backends.ci.local import LocalBuilds
from pipeline.errors import ThrottledError
from pipeline.lock import held
from pipeline.submissions.folder import CourseFolder

SLOW = "import sys, time; print('begun', flush=True); time.sleep(600)"
WORDS = "print('error: /gone cannot be read'); print('  hint: is the address right?')"


@pytest.fixture
def course(tmp_path: Path) -> CourseFolder:
    return course_folder(tmp_path)


@pytest.fixture
def builds(course: CourseFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalBuilds]:
    """Their worker hangs before it has a run, as on a disk that does not answer."""
    made = LocalBuilds(course)
    monkeypatch.setattr(local, "own_module", lambda *_words: [sys.executable, "-c", SLOW])
    yield made
    for worker in made.workers:
        worker.kill()
        worker.wait()


def begun(course: CourseFolder) -> None:
    while not course.console(entry().id).read_bytes():
        time.sleep(0.02)


def test_a_worker_that_has_no_run_yet_is_stopped(course: CourseFolder, builds: LocalBuilds) -> None:
    builds.start(entry())
    begun(course)
    assert builds.look(entry()).state == "running"
    LocalBuilds(course).cancel(entry())  # as the pages do, in another process
    assert not held(course.build(entry().id) / "lock")


def test_a_build_that_still_stops_is_waited_for(course: CourseFolder, builds: LocalBuilds) -> None:
    """Dropped, then tried again at once: the old worker must not be taken for the new one."""
    builds.start(entry())
    with pytest.raises(ThrottledError, match="has not ended yet"):
        LocalBuilds(course).start(entry())
    assert len(builds.workers) == 1


def test_a_worker_without_a_run_leaves_its_error(
    course: CourseFolder, builds: LocalBuilds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "own_module", lambda *_words: [sys.executable, "-c", WORDS])
    builds.start(entry())
    builds.workers[0].wait()
    look = builds.look(entry())
    assert (look.state, look.reason) == ("lost", "/gone cannot be read")
