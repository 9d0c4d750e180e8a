"""report: the grade, result.json, junit.xml, report.html with its plots. Works for every run, however it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.errors import InfrastructureError, Outcome
from pipeline.figures import Figures, load_figures
from pipeline.files import write_bytes, write_json, write_text
from pipeline.grading import Grade, grade
from pipeline.reporting.assembly import assemble, assignment_of, ended_early
from pipeline.reporting.html import STYLESHEET, page, stylesheet
from pipeline.reporting.junit import junit
from pipeline.reporting.plots import Plot, draw, files
from pipeline.run import Record, Run, StageRecord, Status

if TYPE_CHECKING:
    from pipeline.backends import Backends
    from pipeline.listener import StageLog

GRADED = {None, Outcome.PASSED, Outcome.FAILED}


def report(run: Run, backends: Backends, log: StageLog) -> None:  # noqa: ARG001 (every stage takes the same)
    """Grades a run that was collected, and writes what is read of any run.

    Sets the record's points and, where no stage has failed, its outcome, reason and hint. A run without figures and
    without an outcome is infrastructure's: unknown is never a pass and never 0 points.
    """
    begun = time.monotonic()
    figures = known_figures(run, log)
    given = grade_of(run.record, figures)
    settle_outcome(run, given)
    figures = figures or Figures()
    plots = drawn(run, figures, log)
    seconds = round(time.monotonic() - begun, 3)
    result = assemble(run.record, figures, given, StageRecord(name="report", status=Status.DONE, seconds=seconds))
    write_json(run.result_file, result.model_dump(mode="json"))
    write_bytes(run.junit_file, junit(result))
    write_bytes(run.folder / STYLESHEET, stylesheet())
    write_text(run.report_file, page(run, result, figures, given, plots))
    log(f"{run.report_file.name}, {run.result_file.name}, {run.junit_file.name}")


def known_figures(run: Run, log: StageLog) -> Figures | None:
    try:
        return load_figures(run)
    except InfrastructureError as error:
        log(error.message)
        return None


def grade_of(record: Record, figures: Figures | None) -> Grade | None:
    """The grade, None where the run ended before there could be one."""
    assignment = assignment_of(record)
    failed = any(one.status is Status.FAILED for one in record.stages[:-1])
    if figures is None or assignment is None or failed or record.outcome not in GRADED:
        return None
    return grade(assignment, figures, record.request.arrived)


def settle_outcome(run: Run, given: Grade | None) -> None:
    """Writes the grade into the record; a failure that a stage met stands."""
    if given is not None:
        run.update(outcome=given.outcome, points=given.points, reason=given.reason, hint=given.hint)
    elif run.record.outcome is None:
        run.update(outcome=Outcome.INFRASTRUCTURE, reason=ended_early(run.record), points=None)
    else:
        own = run.record.outcome in {Outcome.FAILED, Outcome.LIMIT}
        run.update(points=0.0 if own else None)


def drawn(run: Run, figures: Figures, log: StageLog) -> list[Plot]:
    """Draws and writes the plots. A fault in drawing costs the plots, never the report."""
    try:
        plots = draw(figures, assignment_of(run.record))
    except Exception as error:  # whatever a drawing library meets in odd figures
        log(f"no plots: {type(error).__name__}: {error}")
        return []
    kept = {one.file for one in figures.pictures}
    for old in [one for one in run.plots.glob("*.svg") if one.name not in kept]:
        old.unlink()
    for name, content in files(plots).items():
        write_bytes(run.plots / name, content)
    return plots
