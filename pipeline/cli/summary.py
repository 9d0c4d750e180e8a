"""The last lines of a run: the outcome in one line, what is wrong and what to do, the checks, the isolation."""

from __future__ import annotations

import shlex
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from pipeline.cli.output import show_failure, show_steps, styled
from pipeline.errors import Outcome
from pipeline.reporting.summary import near, summary
from pipeline.result import CheckResult, Result
from pipeline.run import Record, Run

STYLES = {Outcome.PASSED: "bold green", Outcome.FAILED: "bold red", Outcome.LIMIT: "bold red"}


def show_summary(console: Console, run: Run) -> None:
    record, result = run.record, result_of(run)
    outcome = record.outcome or Outcome.INFRASTRUCTURE
    console.print()
    said = summary(result, run.report_file) if result is not None else ""
    if said:
        console.print(styled(said, STYLES.get(outcome, "bold yellow")))
    if outcome is not Outcome.PASSED:
        faults, hint = list(record.faults), with_folder(record.hint, run.folder)
        if record.reason and record.reason in said:
            show_steps(console, record.reason, faults, hint)
        else:
            show_failure(console, outcome.value, record.reason, faults, hint)
        console.print(styled(f"  logs: {near(run.logs)}"))
    for check in result.checks if result else ():
        console.print(styled(f"  {check_line(check)}"))
    console.print(styled(f"  {isolation(record)}", "dim"))


def with_folder(hint: str, folder: Path) -> str:
    """The hint with the run's folder, so that its command can be typed as it stands."""
    return hint.replace("`pipeline resume`", f"`pipeline resume {shlex.quote(str(near(folder)))}`")


def result_of(run: Run) -> Result | None:
    """result.json, where the report stage came so far as to write it."""
    try:
        return Result.model_validate_json(run.result_file.read_bytes())
    except (OSError, ValidationError):
        return None


def check_line(check: CheckResult) -> str:
    mark = {True: "passed", False: "missed", None: "unknown"}[check.passed]
    points = "?" if check.points is None else f"{check.points:g}"
    detail = f": {check.detail}" if check.detail else ""
    return f"{mark} {check.name}, {points} of {check.max_points:g} points{detail}"


def isolation(record: Record) -> str:
    level = record.isolation.value if record.isolation else "not known"
    missing = f"; not enforced: {', '.join(record.unenforced)}" if record.unenforced else ""
    return f"isolation {level}{missing}"
