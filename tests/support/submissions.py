"""Entries, a course's folder and builds for tests of what becomes of pushes."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.backends.ci import Look
from pipeline.errors import Outcome, PipelineError
from pipeline.submissions.entry import Entry, submission_id
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.staff import create_course

EXAMPLE = Path(__file__).resolve().parents[2] / "submissions_example" / "course.toml"
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
NO_COMMIT = "0" * 40


def entry(student: str = "ada", number: int = 1, minutes: float = 0.0, **values: Any) -> Entry:
    """The `number`th push of a student, `minutes` after START."""
    new = f"{number:040x}"
    repository = f"/repositories/{student}.git"
    return Entry(
        **{
            "id": submission_id(repository, "refs/heads/main", NO_COMMIT, new),
            "course": "example-course",
            "assignment": "mnist-train",
            "student": student,
            "repository": repository,
            "ref": "refs/heads/main",
            "old": NO_COMMIT,
            "new": new,
            "arrived": START + timedelta(minutes=minutes),
            **values,
        }
    )


def course_folder(folder: Path) -> CourseFolder:
    return create_course(folder / "course", EXAMPLE)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.at = START + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **delta: float) -> None:
        self.at += timedelta(**delta)


class ScriptedBuilds:
    """Builds whose ends the test decides: `ends` by submission, PASSED where it says nothing and `finish` is set."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.running: set[str] = set()
        self.ends: dict[str, Look] = {}
        self.failures: list[PipelineError] = []
        self.most_at_once = 0

    def start(self, entry: Entry) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.started.append(entry.id)
        self.running.add(entry.id)
        self.most_at_once = max(self.most_at_once, len(self.running))

    def finish(self, submission: str, outcome: Outcome = Outcome.PASSED, points: float | None = 100.0) -> None:
        self.running.discard(submission)
        self.ends[submission] = Look("ended", outcome=outcome, points=points, most_points=100.0, url="report.html")

    def finish_all(self) -> None:
        for submission in list(self.running):
            self.finish(submission)

    def lose(self, submission: str) -> None:
        """The worker is gone without a word."""
        self.running.discard(submission)
        self.ends.pop(submission, None)

    def look(self, entry: Entry) -> Look:
        if entry.id in self.running:
            return Look("running")
        return self.ends.get(entry.id, Look("lost", "it ended without a word"))

    def cancel(self, entry: Entry) -> None:
        self.finish(entry.id, Outcome.ABORTED, None)


def submitted(repository: Path, assignment: str, files: dict[str, str]) -> Entry:
    """An entry for a commit of these files in a new repository."""
    repository.mkdir(parents=True)
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(repository), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | names
        ).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    for name, text in files.items():
        (repository / name).write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "-m", "work")
    commit = git("rev-parse", "HEAD")
    values: dict[str, Any] = {"repository": str(repository), "assignment": assignment, "new": commit, "course": "tests"}
    return entry("ada", **values, id=submission_id(str(repository), "refs/heads/main", NO_COMMIT, commit))
