"""What counts: best or last, late days, regrades that change nothing before they are applied."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.reports import record
from support.submissions import START, course_folder, entry

from pipeline.errors import Outcome, UsageError
from pipeline.extensions import Extension
from pipeline.figures import Figures
from pipeline.files import write_text
from pipeline.practice import practice_course
from pipeline.reporting.assembly import assemble
from pipeline.settings import Course
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.grades import as_csv, grades, with_everyone
from pipeline.submissions.queue import in_order
from pipeline.submissions.regrades import apply, differences, discard, regrade
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import retry


def graded(student: str, number: int, minutes: float, points: float | None, **values: object) -> Entry:
    outcome = Outcome.PASSED if points and points >= 90 else Outcome.FAILED
    values = {"state": State.GRADED, "outcome": outcome, "points": points, "most_points": 100.0, **values}
    return entry(student, number, minutes, **values)


def course(**changes: object) -> Course:
    whole = practice_course()
    return whole.model_copy(update={"assignments": (whole.assignments[0].model_copy(update=changes),)})


PUSHES = [graded("ada", 1, 0, 60.0), graded("ada", 2, 10, 95.0), graded("ada", 3, 20, 40.0), graded("bob", 1, 5, None)]


def test_the_best_one_counts_or_the_last() -> None:
    best = grades(PUSHES, course(counts="best"))
    assert [(row.student, row.graded.points, row.attempts) for row in best] == [("ada", 95.0, 3), ("bob", None, 1)]
    assert grades(PUSHES, course(counts="last"))[0].graded.points == 40.0


def test_of_equal_ones_the_earlier_counts() -> None:
    row = grades([graded("ada", 1, 0, 95.0), graded("ada", 2, 9, 95.0)], course())[0]
    assert row.entry.arrived == START


def test_what_was_not_graded_counts_for_nothing() -> None:
    others = [graded("ada", 7, 0, 100.0, state=State.SUPERSEDED), graded("eve", 1, 0, 100.0, state=State.REFUSED)]
    assert [row.student for row in grades([*PUSHES, *others], course())] == ["ada", "bob"]


def test_who_has_nothing_graded_has_a_row_of_their_own_where_everyone_is_asked_for() -> None:
    only = course()
    rows = with_everyone(grades(PUSHES, only), ["eve", "ada", "bob"], only)
    assert [row.student for row in rows] == ["ada", "bob", "eve"]
    name = only.assignments[0].name
    assert as_csv(rows).splitlines()[-1] == f"eve,{name},,{only.assignments[0].max_points:g},,0,,,,"


def test_an_extension_counts_for_its_student_alone() -> None:
    extension = Extension(student="ada", deadline=START + timedelta(days=1))
    rows = grades(PUSHES, course(deadline=START - timedelta(minutes=30), extensions=(extension,)))
    assert [(row.student, row.late_days) for row in rows] == [("ada", 0), ("bob", 1)]


def test_the_table_as_text() -> None:
    late = course(deadline=START - timedelta(minutes=30))
    lines = as_csv(grades(PUSHES, late)).splitlines()
    assert lines[0] == "student,assignment,points,of,outcome,attempts,late_days,arrived,commit,id"
    assert lines[1].startswith(f"ada,mnist-train,95,100,passed,3,1,2026-11-01T12:10:00+00:00,{2:040x},")
    assert lines[2].startswith("bob,mnist-train,,100,failed,1,1,")


class Regraded:
    def __init__(self, folder: Path) -> None:
        self.course: CourseFolder = course_folder(folder)
        self.spool = Spool(self.course.spool)
        for one in PUSHES:
            self.spool.add(one)
        self.spool.active()

    def finish(self, added: list[Entry], points: float) -> None:
        values = {"state": State.GRADED, "outcome": Outcome.PASSED, "points": points, "most_points": 100.0}
        for one in added:
            self.spool.change(one.id, lambda entry: entry.model_copy(update=values))

    def points(self) -> dict[str, float | None]:
        return {row.student: row.graded.points for row in grades(self.spool.over(), self.course.course())}


@pytest.fixture
def house(tmp_path: Path) -> Regraded:
    return Regraded(tmp_path)


def test_a_regrade_changes_nothing_before_it_is_applied(house: Regraded) -> None:
    before = house.points()
    added = regrade(house.spool, "mnist-train", ["ada"])
    assert [(one.student, one.attempt, one.arrived) for one in added] == [
        ("ada", one.attempt, one.arrived) for one in PUSHES[:3]
    ]
    assert in_order([*added, entry("zoe", 9, 999)])[0].student == "zoe"
    house.finish(added, 97.0)
    assert house.points() == before
    assert {one.before.points: one.after.points for one in differences(house.course, house.spool) if one.is_one} == {
        60.0: 97.0,
        95.0: 97.0,
        40.0: 97.0,
    }
    assert len(apply(house.spool)) == 3
    assert house.points() == {"ada": 97.0, "bob": None}
    assert grades(house.spool.over(), house.course.course())[0].attempts == 3


def test_one_regrade_of_an_assignment_at_a_time(house: Regraded) -> None:
    added = regrade(house.spool, "mnist-train", ["bob"])
    with pytest.raises(UsageError, match="is open"):
        regrade(house.spool, "mnist-train")
    house.finish(added, 10.0)
    with pytest.raises(UsageError, match="is open"):
        regrade(house.spool, "mnist-train")
    assert len(discard(house.spool)) == 1
    assert house.points()["bob"] is None
    again = regrade(house.spool, "mnist-train", ["bob"])
    assert again[0].id != added[0].id
    assert len(discard(house.spool)) == 1
    assert house.spool.active() == []


def test_a_second_regrade_stands_beside_the_first_one_that_was_applied(house: Regraded) -> None:
    for points, before in ((60.0, None), (60.0, 60.0), (70.0, 60.0)):
        house.finish(regrade(house.spool, "mnist-train", ["bob"]), points)
        (found,) = differences(house.course, house.spool)
        assert (found.before.points, found.after.points, found.is_one) == (before, points, points != before)
        apply(house.spool)
    assert house.points()["bob"] == 70.0


def test_a_regrade_that_runs_is_discarded_too(house: Regraded) -> None:
    """Else it would count when another one is applied."""
    added = regrade(house.spool, "mnist-train", ["ada", "bob"])
    house.spool.change(added[0].id, lambda one: one.model_copy(update={"state": State.STARTED}))
    states = [one.state for one in discard(house.spool)]
    assert sorted(states) == [State.STARTED, State.WAITING, State.WAITING, State.WAITING]
    assert house.spool.active() == []
    assert apply(house.spool) == []


def test_a_regrade_that_staff_try_again_takes_no_other_ones_place(house: Regraded) -> None:
    house.spool.add(graded("ada", 9, 30, 10.0, assignment="other"))
    house.spool.active()
    (other,) = regrade(house.spool, "other")
    discard(house.spool)
    house.finish(regrade(house.spool, "mnist-train", ["bob"]), 60.0)
    apply(house.spool)
    retry(house.spool, other.id)
    (added,) = regrade(house.spool, "mnist-train", ["bob"])
    assert house.spool.get(added.id).state is State.WAITING


def test_a_regrade_says_with_what_it_was_graded_that_differs(house: Regraded) -> None:
    """By what lies here of either run, of one that Jenkins built too: its result."""
    (added,) = regrade(house.spool, "mnist-train", ["bob"])
    house.finish([added], 97.0)
    (missing,) = differences(house.course, house.spool)
    assert missing.notes == ("one of the two runs is not here any more",)
    of = record()
    assert of.image is not None
    other = record(image=of.image.model_copy(update={"base_digest": "sha256:" + "77" * 32}))
    for submission, one in ((missing.before, of), (missing.after, other)):
        result = assemble(one, Figures(), None, one.stages[-1])
        write_text(house.course.run(submission.id) / "result.json", result.model_dump_json())
    (found,) = differences(house.course, house.spool)
    assert found.notes == ("another base",)


def test_nothing_to_grade_again_is_said(house: Regraded) -> None:
    with pytest.raises(UsageError, match="nothing of other"):
        regrade(house.spool, "other")
