"""A run in a folder of its own, and its first stages walked through without servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pipeline.backends import Backends
from pipeline.backends.images import Base
from pipeline.practice import practice_course
from pipeline.run import Record, Request, Run
from pipeline.settings import Course
from pipeline.stages.build import build
from pipeline.stages.check import check
from pipeline.stages.fetch import fetch
from pipeline.stages.push import push
from pipeline.stages.render import render

RUN = "20270101-120000-abcdef"
MODEL = "import torch\n\n\ndef build_model():\n    return torch.nn.Linear(784, 10)\n"
STAGES = {"fetch": fetch, "check": check, "render": render, "build": build, "push": push}


@dataclass
class FixedBase:
    """Images with a base that is the same on every machine; they build nothing."""

    packages: dict[str, str] = field(default_factory=lambda: {"torch": "2.13.0+cpu", "numpy": "2.4.6"})

    def base(self, name: str) -> Base:
        return Base(name=name, digest="sha256:" + "ab" * 32, python_version="3.11.9", packages=self.packages)


def new_run(folder: Path, source: Path | str, *, course: Course | None = None, **request: Any) -> Run:
    """A run whose record is the same each time."""
    asked = {"arrived": datetime(2027, 1, 1, 12, tzinfo=UTC), **request}
    record = Record(
        run=RUN,
        request=Request(source=str(source), **asked),
        course=course or practice_course(cache=folder.parent / "cache"),
        settings_sha256="0" * 64,
        created=datetime(2027, 1, 1, 12, tzinfo=UTC),
    )
    return Run.create(folder, record)


def walk(run: Run, *names: str, images: Any = None) -> list[str]:
    """Walks through these stages; the lines of their logs."""
    lines: list[str] = []
    backends = cast(Backends, SimpleNamespace(images=images or FixedBase()))
    for name in names:
        STAGES[name](run, backends, lines.append)
    return lines


def submission(folder: Path, **files: str | bytes) -> Path:
    """A folder with a model that trains and these files: `requirements__txt="six"` is requirements.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"model__py": MODEL, **files}.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
