"""report.html: one page without a script and without inline style (Jenkins serves it under such a policy)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.figures import Figures, KeyFigure
from pipeline.grading import Grade
from pipeline.reporting import tables, words
from pipeline.reporting.assembly import assignment_of
from pipeline.reporting.plots import Plot
from pipeline.reporting.text import shown
from pipeline.result import Result
from pipeline.run import Run, Status

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
STYLESHEET = "report.css"
MARKS = {"measured": "●", "reported": "○"}
STATUS_WORDS = {Status.PENDING: "not reached", Status.RUNNING: "was running"}


def page(run: Run, result: Result, figures: Figures, grade: Grade | None, plots: Sequence[Plot]) -> str:
    """The page. Every text in it is made printable and bounded here and escaped by the template."""
    return environment().get_template("report.html.j2").render(**view(run, result, figures, grade), plots=plots)


def stylesheet() -> bytes:
    return (TEMPLATES / STYLESHEET).read_bytes()


def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(seconds=words.seconds, points=words.points, code=words.with_code)
    return made


def view(run: Run, result: Result, figures: Figures, grade: Grade | None) -> dict[str, Any]:
    record = run.record
    assignment = assignment_of(record)
    return {
        "result": result,
        "assignment_title": shown(assignment.title, 200) if assignment else "",
        "course_title": shown(record.course.title, 200) or result.course,
        "title": words.TITLES[result.outcome],
        "reason": words.sentence(shown(grade.reason if grade else record.reason)),
        "next_step": words.sentence(shown(words.next_step(record, result, grade), 600)),
        "attempt": words.attempt(result, assignment),
        "key_figures": [bounded(one) for one in figures.key_figures] or key_figures(result),
        "ran_title": "Training" if assignment is None or assignment.job.kind == "train" else "Functions",
        "listed": figures.listed,
        "pictures": [one for one in figures.pictures if (run.plots / one.file).is_file()],
        "faults": tables.faults(record),
        "logs": tables.relevant_logs(run, result.outcome),
        "model_link": run.model_file.relative_to(run.folder).as_posix() if run.model_file.is_file() else "",
        "log_links": tables.log_links(run),
        "scores": [(one.label, one.version, words.share(one.accuracy)) for one in figures.validation],
        "validation_rows": words.count(figures.validation_rows),
        "passed_from": words.points(assignment.passed_from) if assignment else "",
        "workers": tables.worker_table(result, figures),
        "host_cpu": figures.host_cpu_percent,
        "status_words": STATUS_WORDS,
        "notes": notes(run, figures),
        "provenance": tables.provenance(record, result, figures),
        "marks": MARKS,
        "stylesheet": STYLESHEET,
    }


def notes(run: Run, figures: Figures) -> list[str]:
    """What the stages want the reader to know, each once."""
    record = run.record
    texts = [*(record.checked.notes if record.checked else ()), *(record.executed.notes if record.executed else ())]
    return [shown(one, 600) for one in dict.fromkeys([*texts, *figures.notes])]


def bounded(one: KeyFigure) -> KeyFigure:
    return one.model_copy(
        update={"label": shown(one.label, 60), "value": shown(one.value, 40), "note": shown(one.note, 100)}
    )


def key_figures(result: Result) -> list[KeyFigure]:
    """The handful of figures that a reader looks for first; those that are not known are left out."""
    metrics = result.metrics
    rows = f"on {words.count(metrics.test_rows)} hidden test rows" if metrics.test_rows else "on hidden test rows"
    candidates = [
        ("accuracy", "Accuracy", words.share, f"{rows}"),
        ("accuracy_initial", "Before training", words.share, "initial values, same rows"),
        ("seconds", "Training", words.seconds, workers_note(result)),
        ("peak_memory_mb", "Peak memory", words.megabytes, "of the largest worker"),
    ]
    return [
        KeyFigure(
            label=label,
            value=form(getattr(metrics, field)),
            note=note,
            source="reported" if field in metrics.reported else "measured",
        )
        for field, label, form, note in candidates
        if getattr(metrics, field) is not None
    ]


def workers_note(result: Result) -> str:
    number = len(result.workers)
    updates = f", {words.count(result.metrics.updates)} updates" if result.metrics.updates else ""
    return f"{number} worker{'' if number == 1 else 's'}{updates}"
