"""The parts of the page that are tables: workers, faults, logs, where everything came from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from pipeline.errors import Outcome
from pipeline.figures import Figures, total
from pipeline.reporting.text import shown, tail
from pipeline.reporting.words import count, megabytes, seconds, size
from pipeline.result import Result, WorkerResult
from pipeline.run import STAGE_NAMES, Record, Run, Status

PLACE = re.compile(r"\A([^\s:]{1,200}(?::\d{1,9})?): (.+)\Z", re.DOTALL)
HINT = re.compile(r"\A(.+) \((.+)\)\Z", re.DOTALL)
MOST_FAULTS = 100
MOST_LOGS = 4
MOST_LINKS = 80

WORKER_FIELDS = (
    ("activations", "activations", count),
    ("steps", "steps", count),
    ("compute", "compute_s", seconds),
    ("communication", "communication_s", seconds),
    ("waiting", "wait_s", seconds),
    ("CPU time", "cpu_s", seconds),
    ("sent", "bytes_sent", size),
    ("received", "bytes_received", size),
    ("read from disk", "block_read", size),
    ("written to disk", "block_written", size),
    ("peak memory", "peak_memory_mb", megabytes),
    ("processes", "processes", count),
)
Formatter = Callable[[float | None], str]
LARGEST = {"peak_memory_mb", "processes"}


@dataclass(frozen=True)
class Line:
    """One figure of all workers. `source` is measured, reported, or empty where nobody knows it."""

    label: str
    source: str
    values: tuple[str, ...]
    whole: str


@dataclass(frozen=True)
class WorkerTable:
    """`wide` where there are so many workers that each gets a row, not a column."""

    names: tuple[str, ...]
    states: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    wide: bool


@dataclass(frozen=True)
class FaultLine:
    place: str
    message: str
    hint: str


@dataclass(frozen=True)
class Log:
    name: str
    link: str
    text: str


def worker_table(result: Result, figures: Figures) -> WorkerTable | None:
    if not result.workers:
        return None
    lines = tuple(line(result.workers, label, field, form) for label, field, form in WORKER_FIELDS)
    return WorkerTable(
        names=tuple(one.name or f"worker {one.worker}" for one in result.workers),
        states=tuple((one.label, shown(one.state, 300)) for one in figures.workers if one.state),
        lines=tuple(one for one in lines if one.source),
        wide=len(result.workers) > 5,
    )


def line(workers: tuple[WorkerResult, ...], label: str, field: str, form: Formatter) -> Line:
    values = [getattr(one, field) for one in workers]
    reported = any(field in one.reported for one in workers)
    known = any(field in one.measured for one in workers)
    source = "reported" if reported else "measured" if known else ""
    whole = max((one for one in values if one is not None), default=None) if field in LARGEST else total(values)
    return Line(label, source, tuple(form(one) for one in values), form(whole))


def faults(record: Record) -> list[FaultLine]:
    """The record's faults taken apart into place, message and hint."""
    return [fault(shown(one, 600)) for one in record.faults[:MOST_FAULTS]]


def fault(text: str) -> FaultLine:
    place = PLACE.match(text)
    where, rest = place.groups() if place else ("", text)
    hint = HINT.match(rest)
    message, then = hint.groups() if hint else (rest, "")
    return FaultLine(where, message, then)


def relevant_logs(run: Run, outcome: Outcome) -> list[Log]:
    """Ends of the logs that tell why a run failed: of the stage, then of what ran in it. Never the hidden ones."""
    if outcome is Outcome.PASSED:
        return []
    failed = next((one.name for one in run.record.stages[:-1] if one.status is Status.FAILED), None)
    names = [f"{failed}.log"] if failed else []
    if failed in {"execute", "collect", None}:
        names += [name for name in log_names(run) if name.removesuffix(".log") not in STAGE_NAMES]
    logs = [Log(shown(name, 100), link(name), tail(run.logs / name)) for name in names]
    return [one for one in logs if one.text][:MOST_LOGS]


def log_names(run: Run) -> list[str]:
    if not run.logs.is_dir():
        return []
    return sorted(one.name for one in run.logs.iterdir() if one.suffix == ".log" and one.is_file())


def log_links(run: Run) -> list[tuple[str, str]]:
    names = [f"{stage}.log" for stage in STAGE_NAMES if run.stage_log(stage).is_file()]
    names += [name for name in log_names(run) if name not in names]
    return [(shown(name, 100), link(name)) for name in names[:MOST_LINKS]]


def link(name: str) -> str:
    return f"logs/{quote(name)}"


def provenance(record: Record, result: Result, figures: Figures) -> list[tuple[str, list[str]]]:
    """Label and lines of everything that the run was made of; what is not known is left out."""
    rows: list[tuple[str, list[str | None]]] = [
        ("Run", [record.run]),
        ("Student", [result.submission.student]),
        ("Source", [result.submission.source]),
        ("Commit", [result.submission.commit or "none: not a clean git checkout"] if record.fetched else []),
        ("Tree", [result.submission.tree_sha256]),
        ("Arrived", [f"{result.arrived:%Y-%m-%d %H:%M:%S %Z}"]),
        ("Settings", [f"sha256 {result.settings_sha256}"]),
        ("Job", [record.checked.job.in_words()] if record.checked else []),
        ("Seed", [str(result.seed)] if result.seed is not None else []),
        *image_rows(record),
        ("torch", [figures.torch]),
        ("Sandbox", [sandbox(result)]),
        ("Not enforced", list(result.unenforced)),
    ]
    shown_rows = ((label, [shown(one, 500) for one in lines if one]) for label, lines in rows)
    return [(label, lines) for label, lines in shown_rows if lines]


def image_rows(record: Record) -> list[tuple[str, list[str | None]]]:
    rows: list[tuple[str, list[str | None]]] = []
    if record.checked:
        wheels = ", ".join(record.checked.locked) or "no wheels beyond the base"
        rows.append(("Lock", [f"sha256 {record.checked.lock_sha256}", wheels]))
    if image := record.image:
        rows.append(("Base", [image.base, image.base_digest]))
        cached = ", kept from an earlier run" if image.cached else ""
        rows.append(("Image", [image.reference, image.digest, f"{size(image.size_bytes)}{cached}"]))
    return rows


def sandbox(result: Result) -> str:
    isolation = result.isolation.value if result.isolation else "not probed"
    return f"{result.sandbox.value}, isolation: {isolation}"
