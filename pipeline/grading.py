"""The grade: checks of the assignment against measured figures. Pure; what is not known never passes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.errors import Outcome
from pipeline.figures import Figures
from pipeline.kinds import measure_of
from pipeline.kinds.contract import Measure
from pipeline.result import CheckResult
from pipeline.settings import Assignment, Check, LateRule, late_days

LARGEST_WHOLE = 2**53
SHORT = 4


@dataclass(frozen=True)
class Late:
    """`days` started days after the deadline; `percent` of the points are taken for them, 100 when too late."""

    days: int = 0
    percent: float = 0.0
    refused: bool = False


@dataclass(frozen=True)
class Grade:
    """`points` is None where the outcome is not known; `reason` and `hint` are for the student."""

    outcome: Outcome
    checks: tuple[CheckResult, ...]
    points: float | None
    reason: str
    hint: str = ""


def grade(assignment: Assignment, figures: Figures, arrived: datetime) -> Grade:
    """Grades a run that was collected.

    A check whose measure is missing fails. Where a measure is missing for a reason that is not the student's and
    its points would decide, the outcome is infrastructure: unknown is never 0 points and never a pass.
    """
    kind = assignment.job.kind
    checks = tuple(check_result(check, measure_of(kind, check.measure), figures) for check in assignment.graded)
    late = lateness(arrived, assignment.deadline, assignment.late)
    earned = after_deduction(sum(one.points or 0.0 for one in checks), late)
    unknown = [check for check in assignment.graded if blameless(check, figures)]
    possible = after_deduction(sum(one.points or 0.0 for one in checks) + sum(one.points for one in unknown), late)
    if earned >= assignment.passed_from and not late.refused:
        return Grade(Outcome.PASSED, checks, earned, passed_reason(checks, late))
    if possible >= assignment.passed_from and not late.refused:
        names = ", ".join(measure_of(kind, check.measure).words for check in unknown)
        reason = f"{names} could not be measured, and that decides about passing"
        return Grade(Outcome.INFRASTRUCTURE, checks, None, reason, "the run is to be repeated")
    return Grade(Outcome.FAILED, checks, earned, *failed_reason(assignment, checks, earned, late, figures.hints))


def check_result(check: Check, measure: Measure, figures: Figures) -> CheckResult:
    value = measured(check, figures)
    if value is None:
        why = figures.missing.get(check.measure, "it was not measured")
        detail = f"there is no {measure.words}: {why}"
        return CheckResult(name=check.name, passed=False, points=0.0, max_points=check.points, detail=detail)
    low = -math.inf if check.at_least is None else check.at_least
    high = math.inf if check.at_most is None else check.at_most
    passed = low <= value <= high
    return CheckResult(
        name=check.name,
        passed=passed,
        points=check.points if passed else 0.0,
        max_points=check.points,
        detail=figures.details.get(check.measure)
        or f"{measure.words} is {shown(check, measure, value, passed)}, asked is {bounds(check, measure)}",
    )


def measured(check: Check, figures: Figures) -> float | None:
    value = figures.measure(check.measure)
    return value if value is not None and math.isfinite(value) else None


def blameless(check: Check, figures: Figures) -> bool:
    return measured(check, figures) is None and check.measure not in figures.missing


def bounds(check: Check, measure: Measure) -> str:
    least = check.at_least is not None
    bound = float((check.at_least if least else check.at_most) or 0.0)
    text = f"{bound:.0f}" if bound.is_integer() and abs(bound) < LARGEST_WHOLE else f"{bound:g}"
    return f"at {'least' if least else 'most'} {grouped(text)}{measure.unit}"


def shown(check: Check, measure: Measure, value: float, passed: bool) -> str:
    """The value, rounded, but never so that a failed one reads as if it had passed."""
    for digits in range(measure.digits, 17):
        text = f"{value:.{digits}f}"
        low = check.at_least is None or float(text) >= check.at_least
        high = check.at_most is None or float(text) <= check.at_most
        if (low and high) == passed:
            return grouped(text) + measure.unit
    return repr(value) + measure.unit


def grouped(text: str) -> str:
    """`1247269` as `1,247,269`, which can be read; numbers of four digits stay."""
    whole, dot, part = text.partition(".")
    return f"{int(whole):,}{dot}{part}" if len(whole) > SHORT and whole.isdigit() else text


def lateness(arrived: datetime, deadline: datetime | None, rule: LateRule) -> Late:
    days = late_days(arrived, deadline)
    if days > rule.days:
        return Late(days, 100.0, refused=True)
    return Late(days, min(100.0, days * rule.percent_a_day))


def after_deduction(points: float, late: Late) -> float:
    return round(points * (1 - late.percent / 100), 6)


def late_words(late: Late) -> str:
    if not late.days:
        return ""
    days = f"{late.days} day{'s' if late.days > 1 else ''} late"
    return f"{days}, past the last day accepted" if late.refused else f"{days}: {late.percent:g} % of the points taken"


def passed_reason(checks: tuple[CheckResult, ...], late: Late) -> str:
    missed = [one.name for one in checks if not one.passed]
    reason = f"enough points, though not for {', '.join(missed)}" if missed else "all checks passed"
    return "; ".join(filter(None, [reason, late_words(late)]))


def failed_reason(
    assignment: Assignment, checks: tuple[CheckResult, ...], earned: float, late: Late, hints: Mapping[str, str]
) -> tuple[str, str]:
    """Reason and hint. The hint is about the failed check that costs the most points."""
    short = f"{earned:g} points of the {assignment.passed_from:g} needed to pass"
    failed = [(one, check) for one, check in zip(checks, assignment.graded, strict=True) if not one.passed]
    if not failed:
        return "; ".join(filter(None, [short, late_words(late)])), ""
    worst, check = max(failed, key=lambda pair: pair[0].max_points)
    reason = "; ".join(filter(None, [short, worst.detail, late_words(late)]))
    return reason, hints.get(check.measure) or measure_of(assignment.job.kind, check.measure).next_step


def not_graded(assignment: Assignment, outcome: Outcome, reason: str) -> tuple[CheckResult, ...]:
    """The checks of a run that ended before it could be graded: 0 points if that is the student's, else no grade."""
    own = outcome in {Outcome.FAILED, Outcome.LIMIT}
    return tuple(
        CheckResult(
            name=check.name,
            passed=False if own else None,
            points=0.0 if own else None,
            max_points=check.points,
            detail=f"not graded: {reason}",
        )
        for check in assignment.graded
    )
