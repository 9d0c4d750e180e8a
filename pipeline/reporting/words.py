"""What a report says in words: how a run ended, what to do next, and figures with their units."""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

from pipeline.errors import Outcome
from pipeline.grading import Grade
from pipeline.result import Result
from pipeline.run import Record
from pipeline.settings import Assignment

TITLES = {
    Outcome.PASSED: "Passed",
    Outcome.FAILED: "Not passed",
    Outcome.LIMIT: "Stopped at a limit",
    Outcome.INFRASTRUCTURE: "No grade: a fault of the servers",
    Outcome.COURSE: "No grade: a fault in the course's settings",
    Outcome.ABORTED: "Stopped before its end",
    Outcome.SUPERSEDED: "Replaced by a newer submission",
}
NEXT = {
    Outcome.FAILED: "Mend what is listed below and push again.",
    Outcome.LIMIT: "Do less work, or do it with less memory, and push again.",
    Outcome.INFRASTRUCTURE: "Staff can go on with `pipeline resume`; nothing that was done is lost.",
    Outcome.COURSE: "Tell the staff; when the settings are mended the run can be repeated.",
    Outcome.ABORTED: "`pipeline resume` goes on with it.",
    Outcome.SUPERSEDED: "Look at the report of your newest push.",
}
BLAMELESS = {Outcome.INFRASTRUCTURE, Outcome.COURSE}
MOST_SECONDS = 1e7
CODE = re.compile(r"`([^`\n]{1,200})`")


def next_step(record: Record, result: Result, grade: Grade | None) -> str:
    """What the reader does now: what the run's own hint says, else what its outcome always means."""
    if result.outcome is Outcome.PASSED:
        full = result.points == result.max_points
        return "Nothing is left to do." if full else "Push again if you want the points that are missing."
    hint = sentence(grade.hint if grade else record.hint)
    if grade and result.outcome is Outcome.FAILED:
        return hint or "Look at the checks below and push again."
    excuse = "This is not your fault." if result.outcome in BLAMELESS else ""
    return " ".join(filter(None, [excuse, hint or NEXT[result.outcome]]))


def attempt(result: Result, assignment: Assignment | None) -> str:
    if result.practice:
        return "Practice, not a grade: it uses up no attempt."
    if not result.outcome.counts_as_attempt:
        return "It uses up no attempt."
    most = assignment.attempts if assignment else None
    counts = f" of {most}" if most else ""
    return f"Attempt {result.attempt}{counts}."


def sentence(text: str) -> str:
    """`text` with a capital, unless it begins with code, and a full stop."""
    text = text.strip()
    if not text:
        return ""
    begun = text[0].upper() + text[1:] if text.split()[0].isalpha() else text
    return begun if begun[-1] in ".!?`" else begun + "."


def with_code(text: str) -> Markup:
    """`text` escaped for HTML, what stands between backticks set as code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))


def seconds(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= MOST_SECONDS:
        return f"{value:.3g} s"
    if value < 1:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def size(value: float | None) -> str:
    """Bytes in the unit that fits, by 1000 as disks and networks count."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def megabytes(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} MB"


def count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def points(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
