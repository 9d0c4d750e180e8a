"""Checks, points, late arrivals and the outcome: what is unknown never passes and never becomes a student's 0."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import ARRIVED, assignment, figures, worker

from pipeline.errors import Outcome
from pipeline.figures import Figures
from pipeline.grading import Grade, check_result, grade
from pipeline.kinds import measure_of
from pipeline.result import CheckResult
from pipeline.settings import Check, LateRule


def graded(found: Figures, after: timedelta = timedelta(0), **changes: Any) -> Grade:
    return grade(assignment(**changes), found, ARRIVED + after)


def result_of(check: Check, found: Figures) -> CheckResult:
    return check_result(check, measure_of("train", check.measure), found)


def points_of(given_grade: Grade) -> dict[str, float | None]:
    return {one.name: one.points for one in given_grade.checks}


def test_a_run_that_meets_all_checks_has_all_points() -> None:
    all_met = graded(figures())
    assert (all_met.outcome, all_met.points) == (Outcome.PASSED, 100)
    assert all(one.passed for one in all_met.checks)


def test_a_run_passes_from_the_points_that_are_needed_and_says_what_was_missed() -> None:
    slow = graded(figures(seconds=301.0))
    assert (slow.outcome, slow.points) == (Outcome.PASSED, 90)
    assert "training-time" in slow.reason


def test_too_few_points_fail_with_the_dearest_check_as_reason() -> None:
    poor = graded(figures(accuracy=0.9411))
    assert (poor.outcome, poor.points) == (Outcome.FAILED, 40)
    assert "accuracy is 0.9411, asked is at least 0.97" in poor.reason
    assert poor.hint


def test_what_a_run_says_of_its_failure_goes_before_what_is_always_said() -> None:
    assert graded(figures(accuracy=0.9411, hints={"accuracy": "do this"})).hint == "do this"
    assert graded(figures(accuracy=0.9411, hints={"seconds": "do that"})).hint != "do that"


@pytest.mark.parametrize(
    ("check", "value", "passed"),
    [
        (Check(name="a", measure="accuracy", at_least=0.97, points=1), 0.97, True),
        (Check(name="a", measure="accuracy", at_least=0.97, points=1), 0.9699999, False),
        (Check(name="a", measure="seconds", at_most=300, points=1), 300.0, True),
        (Check(name="a", measure="seconds", at_most=300, points=1), 300.0001, False),
    ],
)
def test_both_ends_are_included(check: Check, value: float, passed: bool) -> None:
    assert result_of(check, Figures(**{check.measure: value})).passed is passed


def test_a_value_that_fails_is_not_rounded_into_one_that_passes() -> None:
    check = Check(name="a", measure="accuracy", at_least=0.97, points=1)
    assert "0.969999 " not in result_of(check, Figures(accuracy=0.97)).detail
    assert "accuracy is 0.969999," in result_of(check, Figures(accuracy=0.969999)).detail


def test_long_numbers_can_be_read() -> None:
    check = Check(name="a", measure="seconds", at_most=1200, points=1)
    assert "is 1247269.5 s" not in result_of(check, Figures(seconds=1247269.5)).detail
    assert "is 1,247,269.5 s, asked is at most 1200 s" in result_of(check, Figures(seconds=1247269.5)).detail


def test_the_gain_is_what_was_learnt_here() -> None:
    at_home = graded(figures(accuracy=0.98, accuracy_initial=0.97))
    assert points_of(at_home)["gain"] == 0
    exact = Check(name="gain", measure="gain", at_least=0.1, points=1)
    assert result_of(exact, Figures(accuracy=0.4, accuracy_initial=0.3)).passed


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("measure", ["accuracy", "accuracy_initial", "seconds"])
def test_what_is_no_number_never_passes(measure: str, value: float | None) -> None:
    name = {"accuracy": "accuracy", "accuracy_initial": "gain", "seconds": "training-time"}[measure]
    found = figures(**{measure: value})
    assert points_of(graded(found))[name] == 0


def test_a_measure_that_the_submission_made_impossible_fails_with_the_reason() -> None:
    broken = graded(
        figures(accuracy=None, missing={"accuracy": "the answer has 3 rows", "gain": "the answer has 3 rows"})
    )
    assert (broken.outcome, broken.points) == (Outcome.FAILED, 20)
    assert "the answer has 3 rows" in broken.reason


def test_a_measure_that_is_missing_for_another_reason_is_not_the_students_fault() -> None:
    unknown = graded(figures(accuracy=None))
    assert (unknown.outcome, unknown.points) == (Outcome.INFRASTRUCTURE, None)
    assert "accuracy" in unknown.reason


def test_a_missing_measure_that_decides_nothing_leaves_the_grade() -> None:
    assert graded(figures(workers=())).outcome is Outcome.PASSED
    assert graded(figures(workers=(), accuracy=0.5)).outcome is Outcome.FAILED


def test_memory_that_only_the_student_reports_is_not_graded() -> None:
    said = worker(0, reported=("peak_memory_mb",), peak_memory_mb=1.0)
    assert points_of(graded(figures(workers=(said,))))["memory"] == 0


def test_the_largest_worker_counts_and_one_without_a_peak_leaves_it_unknown() -> None:
    assert figures(workers=(worker(0), worker(1, peak_memory_mb=700.0))).peak_memory_mb == 700
    assert figures(workers=(worker(0), worker(1, peak_memory_mb=None))).peak_memory_mb is None
    assert figures(workers=(worker(0), worker(1, activations=0, peak_memory_mb=None))).peak_memory_mb == 291.5


@pytest.mark.parametrize(
    ("late", "points", "outcome"),
    [
        (timedelta(0), 100, Outcome.PASSED),
        (timedelta(seconds=1), 90, Outcome.PASSED),
        (timedelta(days=1), 90, Outcome.PASSED),
        (timedelta(days=2), 80, Outcome.PASSED),
        (timedelta(days=2, seconds=1), 70, Outcome.FAILED),
        (timedelta(days=3, seconds=1), 0, Outcome.FAILED),
    ],
)
def test_each_started_day_after_the_deadline_costs_its_share(late: timedelta, points: float, outcome: Outcome) -> None:
    rule = LateRule(days=3, percent_a_day=10)
    found = graded(figures(), late, deadline=ARRIVED, late=rule)
    assert (found.points, found.outcome) == (points, outcome)
    assert ("late" in found.reason) == (late > timedelta(0))


def test_too_late_is_not_passed_even_where_no_points_are_needed() -> None:
    found = graded(figures(), timedelta(days=1), deadline=ARRIVED, passed_from=0)
    assert (found.points, found.outcome) == (0, Outcome.FAILED)


@given(
    accuracy=st.floats() | st.none(),
    initial=st.floats() | st.none(),
    seconds=st.floats() | st.none(),
    late=st.integers(0, 10),
)
def test_points_lie_between_none_and_all_and_a_pass_has_enough(
    accuracy: float | None, initial: float | None, seconds: float | None, late: int
) -> None:
    found = figures(accuracy=accuracy, accuracy_initial=initial, seconds=seconds)
    rule = LateRule(days=5, percent_a_day=30)
    given_grade = graded(found, timedelta(days=late), deadline=ARRIVED, late=rule)
    assert given_grade.points is None or 0 <= given_grade.points <= 100
    assert (given_grade.outcome is Outcome.PASSED) == (given_grade.points is not None and given_grade.points >= 80)
