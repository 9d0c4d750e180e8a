"""Hostile submissions: a folder with one model.py, submitted to an assignment that is over within seconds."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from support.runs import Finished, submit

COURSE = """
name = "hostile"

[[assignments]]
name = "tiny"
least_isolation = "none"
passed_from = 10
opens = ["workers"]
{secret}

[assignments.job]
kind = "train"
workers = 2
epochs = 1
scored_checkpoints = 0

[assignments.data]
name = "mnist"
train_rows = 640
validation_rows = {validation_rows}
test_rows = 200

[assignments.limits]
memory_mb = 512
timeout_s = 120
seconds = 200

[[assignments.checks]]
name = "accuracy"
measure = "accuracy"
at_least = 0.0
points = 10
"""

LINEAR = """
from torch import nn

def build_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""


def submit_model(
    place: Path, model: str, *options: str, secret_file: Path | None = None, validation_rows: int = 0
) -> Finished:
    """Takes a submission whose model.py is `model` through all stages, in `place`/run."""
    source, course = place / "submission", place / "course.toml"
    source.mkdir()
    (source / "model.py").write_text(dedent(model))
    (source / "submission.toml").write_text('kind = "train"\n')
    secret = f'secret_file = "{secret_file}"' if secret_file else ""
    course.write_text(COURSE.format(secret=secret, validation_rows=validation_rows))
    return submit(source, place / "run", *options, course=course)


def readable_by_students(folder: Path) -> list[Path]:
    """Every file of a run's folder but the course's own."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in {"private", "servers.json", "source"}
    ]
