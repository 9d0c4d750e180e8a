"""A run in one line, for a terminal, a log and the description of a build."""

from __future__ import annotations

from pathlib import Path

from pipeline.result import Result
from pipeline.run import Status
from pipeline.text import one_line


def summary(result: Result, report: Path) -> str:
    """`PASSED 100/100 mnist-train: accuracy 0.981 (from 0.098), 41 s, 2 workers - runs/demo/report.html`"""
    return f"{one_line(f'{headline(result)}: {content(result)}')} - {near(report)}"


def headline(result: Result) -> str:
    known = result.points is not None and result.max_points is not None
    points = f"{result.points:g}/{result.max_points:g}" if known else ""
    return " ".join(filter(None, [result.outcome.value.upper(), points, result.assignment or result.course]))


def content(result: Result) -> str:
    failed = next((stage for stage in result.stages if stage.status is Status.FAILED), None)
    parts = [f"{failed.name}: {one_line(failed.reason, 160)}"] if failed else [*figures(result), *late(result)]
    return ", ".join([*parts, *(["practice, not a grade"] if result.practice else [])])


def figures(result: Result) -> list[str]:
    metrics = result.metrics
    parts = [result.headline] if result.headline else []
    if metrics.accuracy is not None:
        initial = "" if metrics.accuracy_initial is None else f" (from {metrics.accuracy_initial:.3f})"
        parts.append(f"accuracy {metrics.accuracy:.3f}{initial}")
    if metrics.seconds is not None:
        parts.append(f"{metrics.seconds:.0f} s")
    if result.workers:
        what = "function" if result.workers[0].name else "worker"
        parts.append(f"{len(result.workers)} {what}{'s' if len(result.workers) > 1 else ''}")
    return parts or ["no figures"]


def late(result: Result) -> list[str]:
    """Why the points are fewer than those of the checks together."""
    days = result.metrics.late_days
    return [f"{days} day{'s' if days > 1 else ''} late"] if days else []


def near(path: Path) -> Path:
    """`path` as seen from the current folder, where it lies inside that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
