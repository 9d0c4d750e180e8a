"""Who is next: turns between students, one at a time each, the newest push alone, never across a deadline."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.submissions import START, entry

from pipeline.extensions import Extension
from pipeline.practice import practice_course
from pipeline.settings import Course
from pipeline.submissions.entry import Entry, Priority, State
from pipeline.submissions.queue import earlier_ones, in_order, places, startable, superseded

COURSE = practice_course()


def with_deadline(minutes: float) -> Course:
    assignment = COURSE.assignments[0].model_copy(update={"deadline": START + timedelta(minutes=minutes)})
    return COURSE.model_copy(update={"assignments": (assignment,)})


def names(entries: list[Entry]) -> list[str]:
    return [f"{one.student}{int(one.new, 16)}" for one in entries]


def test_students_take_turns() -> None:
    many = [entry("ada", number, minutes=number, assignment=f"lab-{number}") for number in (1, 2, 3)]
    late = [entry("bob", 1, minutes=9)]
    assert names(in_order([*many, *late])) == ["ada1", "bob1", "ada2", "ada3"]


def test_who_runs_something_has_had_a_turn() -> None:
    running = entry("ada", 1, state=State.STARTED)
    assert names(in_order([running, entry("ada", 2, 1), entry("bob", 1, 5)])) == ["bob1", "ada2"]


def test_regrades_come_last() -> None:
    regrade = entry("ada", 1, priority=Priority.REGRADE)
    assert names(in_order([regrade, entry("bob", 2, 30)])) == ["bob2", "ada1"]


def test_one_of_a_student_at_a_time_and_none_before_its_time() -> None:
    later = entry("eve", 1, not_before=START + timedelta(hours=2))
    found = startable([entry("ada", 1), entry("ada", 2, 1), entry("bob", 1, 2), later], START + timedelta(hours=1))
    assert names(found) == ["ada1", "bob1"]
    busy = entry("ada", 3, state=State.STARTED)
    assert names(startable([busy, entry("ada", 1)], START)) == []


def test_what_is_late_for_others_is_not_before_a_student_of_a_later_deadline() -> None:
    course, pushes = with_deadline(10), [entry("ada", 1, 0), entry("ada", 2, 20)]
    assert [earlier_ones(one, pushes, course) for one in pushes] == [0, 1]
    extension = Extension(student="ada", deadline=START + timedelta(minutes=30))
    extended = course.assignments[0].model_copy(update={"extensions": (extension,)})
    course = course.model_copy(update={"assignments": (extended,)})
    assert [earlier_ones(one, pushes, course) for one in pushes] == [0, 0]


def test_a_place_has_a_reason() -> None:
    entries = [entry("bob", 1), entry("ada", 1, 1), entry("ada", 9, state=State.STARTED)]
    found = places(entries, START)
    place = found[entries[1].id]
    assert (place.number, place.waiting, place.reason) == (2, 2, "another one of the same student runs")
    assert entries[2].id not in found


def test_the_newest_push_supersedes_those_that_wait() -> None:
    old, newer, newest = entry("ada", 1), entry("ada", 2, 1), entry("ada", 3, 2)
    other = entry("bob", 1, 1)
    found = superseded([newest, old, other, newer], COURSE)
    assert found == {old.id: newest, newer.id: newest}


def test_what_runs_finishes_and_other_assignments_stay() -> None:
    running = entry("ada", 1, state=State.STARTED)
    assert superseded([running, entry("ada", 2, 1)], COURSE) == {}
    assert superseded([entry("ada", 1, assignment="a"), entry("ada", 2, 1, assignment="b")], COURSE) == {}


def test_nothing_is_superseded_across_a_deadline_or_by_a_regrade() -> None:
    before, after = entry("ada", 1, 0), entry("ada", 2, 20)
    assert superseded([before, after], with_deadline(10)) == {}
    assert superseded([before, after], with_deadline(30)) == {before.id: after}
    assert superseded([before, entry("ada", 2, 20, priority=Priority.REGRADE)], COURSE) == {}


def test_what_is_a_deadline_for_all_is_none_for_who_has_an_extension() -> None:
    extension = Extension(student="ada", deadline=START + timedelta(minutes=60))
    (assignment,) = with_deadline(10).assignments
    course = COURSE.model_copy(update={"assignments": (assignment.model_copy(update={"extensions": (extension,)}),)})
    old, newer = entry("ada", 1, 0), entry("ada", 2, 20)
    assert superseded([old, newer, entry("bob", 1, 0), entry("bob", 2, 20)], course) == {old.id: newer}


@given(st.lists(st.tuples(st.sampled_from(["ada", "bob", "eve"]), st.integers(0, 99)), unique=True, max_size=20))
def test_nobody_is_passed_by_twice(pushes: list[tuple[str, int]]) -> None:
    """While a student waits, no other starts two submissions in between."""
    order = in_order([entry(student, minute + 1, minute, assignment=f"lab-{minute}") for student, minute in pushes])
    assert len(order) == len(pushes)
    for at, one in enumerate(order):
        before = [other.student for other in order[:at]]
        mine = before.count(one.student)
        assert all(before.count(other) <= mine + 1 for other in set(before))
