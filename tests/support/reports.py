"""A run as it looks when it comes to the report stage, for the tests of grade and report."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import Outcome
from pipeline.figures import Figures, Interval, LossPoint, Score, WorkerFigures, save_figures
from pipeline.kinds.train import TrainJob
from pipeline.run import (
    STAGE_NAMES,
    Checked,
    Executed,
    Fetched,
    Image,
    Record,
    Registered,
    Request,
    Run,
    StageRecord,
    Status,
)
from pipeline.settings import Assignment, Check, Course, Isolation

ARRIVED = datetime(2026, 8, 1, 10, 15, tzinfo=UTC)
CHECKS = (
    Check(name="accuracy", measure="accuracy", at_least=0.97, points=60),
    Check(name="gain", measure="gain", at_least=0.5, points=20),
    Check(name="training-time", measure="seconds", at_most=300, points=10),
    Check(name="memory", measure="peak_memory_mb", at_most=480, points=10),
)
UPDATES = 40


def assignment(**changes: Any) -> Assignment:
    settings: dict[str, Any] = {"name": "mnist-train", "title": "Train LeNet-5", "checks": CHECKS, "passed_from": 80}
    return Assignment(**settings | changes)


def stages(failed: str | None = None, reason: str = "") -> tuple[StageRecord, ...]:
    """All done before report; or done up to `failed`, and skipped after it."""
    at = STAGE_NAMES.index(failed) if failed else len(STAGE_NAMES) - 1
    done = [StageRecord(name=name, status=Status.DONE, seconds=0.25) for name in STAGE_NAMES[:at]]
    if not failed:
        return (*done, StageRecord(name="report", status=Status.RUNNING))
    skipped = [StageRecord(name=name, status=Status.SKIPPED, reason="not reached") for name in STAGE_NAMES[at + 1 : -1]]
    ended = StageRecord(name=failed, status=Status.FAILED, seconds=0.5, reason=reason)
    return (*done, ended, *skipped, StageRecord(name="report", status=Status.RUNNING))


def record(of: Assignment | None = None, *, practice: bool = False, **changes: Any) -> Record:
    """The record of a run that went through all stages before report."""
    of = of or assignment()
    parts: dict[str, Any] = {
        "run": "20260801-101500-ab12cd",
        "request": Request(source="submissions_example/mnist_train", student="ada", arrived=ARRIVED),
        "course": Course(name="ml-2026", title="Machine Learning", assignments=(of,), practice=practice),
        "settings_sha256": "5c" * 32,
        "created": ARRIVED,
        "isolation": Isolation.NAMESPACES,
        "unenforced": ("block I/O is not limited",),
        "stages": stages(),
        "fetched": Fetched(commit="6c1a" * 10, tree_sha256="ab" * 32, files=4, size_bytes=5120),
        "checked": Checked(assignment=of, job=TrainJob(), lock_sha256="cd" * 32, locked=("tqdm==4.67.1",)),
        "image": Image(
            reference="submission/ada:ab12cd",
            digest="sha256:" + "12" * 32,
            base="default",
            base_digest="sha256:" + "34" * 32,
            lock_sha256="cd" * 32,
            size_bytes=183_400_000,
            cached=True,
        ),
        "registered": Registered(namespace="guest", actions={"train": "ab12cd-train"}),
        "executed": Executed(seconds=41.0, notes=("worker 1 joined late",)),
        "collected": True,
    }
    return Record(**parts | changes)


def ended_early(stage: str, outcome: Outcome, reason: str, **changes: Any) -> Record:
    """The record of a run that failed in `stage` and has nothing of what comes after it."""
    nothing = dict.fromkeys(("fetched", "checked", "image", "registered", "executed"))
    parts = {"stages": stages(stage, reason), "outcome": outcome, "reason": reason, "collected": False}
    return record(**{**nothing, **parts, **changes})


def worker(number: int, **changes: Any) -> WorkerFigures:
    values: dict[str, Any] = {
        "worker": number,
        "activations": 1,
        "steps": 860,
        "compute_s": 27.5 + number,
        "communication_s": 5.0,
        "wait_s": 3.5,
        "cpu_s": 30.0,
        "bytes_sent": 303_000_000,
        "bytes_received": 306_400_000,
        "block_read": 0,
        "block_written": 12_288,
        "peak_memory_mb": 291.5 + number,
        "processes": 1,
    }
    return WorkerFigures(**values | changes)


def figures(**changes: Any) -> Figures:
    start = 1_785_579_300.0
    runs = [
        Interval(activation=f"a{n}", row=f"worker {n}", start=start, end=start + 40, init_s=2, wait_s=n) for n in (0, 1)
    ]
    predict = Interval(activation="p", row="prediction", start=start + 41, end=start + 42)
    loss = (LossPoint(version=n, seconds=float(n), loss=2.3 * math.exp(-n / 9)) for n in range(1, UPDATES + 1))
    values: dict[str, Any] = {
        "accuracy": 0.9812,
        "accuracy_initial": 0.0976,
        "rows": 10_000,
        "validation": (
            Score(version=0, accuracy=0.1, label="initial"),
            Score(version=40, accuracy=0.98, label="final"),
        ),
        "validation_rows": 5_000,
        "loss": tuple(loss),
        "workers": (worker(0), worker(1)),
        "intervals": (*runs, predict),
        "seconds": 40.3,
        "updates": UPDATES,
        "host_cpu_percent": 93.0,
        "torch": "2.13.0+cpu",
    }
    return Figures(**values | changes)


def make_run(folder: Path, of: Record, found: Figures | None = None, logs: dict[str, str] | None = None) -> Run:
    run = Run.create(folder, of)
    if found is not None:
        save_figures(run, found)
    for name, text in (logs or {}).items():
        (run.logs / name).write_text(text)
    return run
