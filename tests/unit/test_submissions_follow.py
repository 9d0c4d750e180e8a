"""What a pusher is told while others push, start and end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.submissions import course_folder, entry

from pipeline.submissions.dispatching import only_dispatcher
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.follow import follow
from pipeline.submissions.places import FRESH_S, Places
from pipeline.submissions.spool import Spool


@pytest.fixture
def course(tmp_path: Path) -> CourseFolder:
    return course_folder(tmp_path)


@pytest.fixture
def places(course: CourseFolder) -> Places:
    return Places(Spool(course.spool), ticks())


def ticks() -> Callable[[], float]:
    """Each look is later than what was worked out before is good for."""
    passed = iter(range(1000))
    return lambda: next(passed) * FRESH_S


def change(spool: Spool, one: Entry, **values: object) -> None:
    spool.change(one.id, lambda entry: entry.model_copy(update=values))


def test_a_place_is_said_again_when_it_is_another_but_not_for_whoever_comes_behind(
    course: CourseFolder, places: Places
) -> None:
    spool = places.spool
    first, mine, behind = (entry(student, 1, minutes) for minutes, student in enumerate(("bob", "ada", "eve")))
    steps = iter(
        [
            lambda: spool.add(behind),
            lambda: change(spool, first, state=State.STARTED),
            lambda: change(spool, mine, state=State.SUPERSEDED, superseded_by="f" * 32),
        ]
    )
    for one in (first, mine):
        spool.add(one)
    with only_dispatcher(course):
        said = list(follow(course, places, mine.id, sleep=lambda _: next(steps)()))
    assert said == [
        "waiting, place 2 of 2: 0 run now",
        "waiting, place 1 of 2: 1 run now",
        "superseded by your newer push ffffffffff; it cost no attempt",
    ]


def test_who_has_just_pushed_has_a_place_at_once(course: CourseFolder) -> None:
    places = Places(Spool(course.spool), clock=lambda: 0.0)
    first, second = entry("ada", 1), entry("bob", 1, 1)
    places.spool.add(first)
    assert places.of(first.id) is not None
    places.spool.add(second)
    found = places.of(second.id)
    assert found is not None
    assert (found.number, found.waiting) == (2, 2)
