"""The last lines of a run: outcome, points, accuracy, where the report is."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from pipeline.cli.output import show_failure, styled
from pipeline.errors import Outcome
from pipeline.result import CheckResult, Result
from pipeline.run import Record, Run

STYLES = {Outcome.PASSED: "bold green", Outcome.FAILED: "bold red", Outcome.LIMIT: "bold red"}


def show_summary(console: Console, run: Run) -> None:
    record, result = run.record, result_of(run)
    console.print()
    outcome = record.outcome or Outcome.INFRASTRUCTURE
    head = Text.assemble((outcome.value, STYLES.get(outcome, "bold yellow")), styled(points(record, result)))
    if outcome is Outcome.PASSED or not record.reason:
        console.print(head)
    else:
        show_failure(console, outcome.value, record.reason, list(record.faults), record.hint)
    for check in result.checks if result else ():
        console.print(styled(f"  {check_line(check)}"))
    if record.isolation is not None:
        missing = f"; not enforced: {', '.join(record.unenforced)}" if record.unenforced else ""
        console.print(styled(f"  isolation: {record.isolation.value}{missing}", "dim"))
    shown = run.report_file if run.report_file.exists() else run.logs
    console.print(styled(f"  {'report' if shown == run.report_file else 'logs'}: {near(shown)}"))


def result_of(run: Run) -> Result | None:
    """result.json, where the report stage came so far as to write it."""
    try:
        return Result.model_validate_json(run.result_file.read_bytes())
    except (OSError, ValidationError):
        return None


def points(record: Record, result: Result | None) -> str:
    practice = ", practice and not a grade" if record.course.practice else ""
    if result is None or result.points is None or result.max_points is None:
        return practice
    return f": {result.points:g} of {result.max_points:g} points{practice}"


def check_line(check: CheckResult) -> str:
    mark = {True: "passed", False: "missed", None: "unknown"}[check.passed]
    of = f"{check.points:g} of {check.max_points:g}" if check.points is not None else f"? of {check.max_points:g}"
    return f"{check.name}: {mark}, {of} points; {check.detail}".rstrip("; ")


def near(path: Path) -> Path:
    """The path as a person would type it from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
