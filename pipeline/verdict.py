"""What a build server shows of a run: its result in Jenkins' words, a name, a line. Decided by the run's record alone.

UNSTABLE is the student's failure, a limit, or too few points; FAILURE is the infrastructure's or the course's.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import Outcome, UsageError
from pipeline.run import Record, Run
from pipeline.text import one_line

Result = Literal["SUCCESS", "UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT"]
RESULTS: dict[Outcome, Result] = {
    Outcome.PASSED: "SUCCESS",
    Outcome.FAILED: "UNSTABLE",
    Outcome.LIMIT: "UNSTABLE",
    Outcome.INFRASTRUCTURE: "FAILURE",
    Outcome.COURSE: "FAILURE",
    Outcome.ABORTED: "ABORTED",
    Outcome.SUPERSEDED: "NOT_BUILT",
}
# of a run's folder: what its student may read
PUBLISHED = ("report.html", "report.css", "plots", "junit.xml", "result.json", "logs", "model.safetensors")
# a server may show descriptions as HTML, and a reason can hold a student's text
NO_MARKUP = str.maketrans("<>&", "‹›+")


@dataclass(frozen=True)
class Verdict:
    result: Result
    name: str
    description: str


def verdict(folder: Path, *, run: str | None = None, code: int | None = None) -> Verdict:
    """The verdict on the run in `folder`.

    `run` is the id that it must have, `code` the exit code of its last stage. Without a record, with another run's,
    or where the code is not that of the recorded outcome, something broke that no record tells of: FAILURE.
    """
    try:
        record = Run.open(folder).record
    except UsageError as error:
        return broken(error.message)
    if run is not None and record.run != run:
        return broken(f"the folder holds the run {record.run}, not {run}")
    if record.outcome is None:
        return broken("the run has not ended")
    if code is not None and code != record.outcome.exit_code:
        return broken(f"the last stage left with code {code}, and the run's record says {record.outcome}")
    return Verdict(RESULTS[record.outcome], plain(f"{record.request.student} {score(record)}"), plain(record.reason))


def broken(why: str) -> Verdict:
    return Verdict("FAILURE", "infrastructure", plain(f"{why}: not the student's fault, no attempt is used up"))


def score(record: Record) -> str:
    """`95 of 100 points`, or the outcome where nothing could be graded."""
    if record.points is None or record.checked is None:
        return str(record.outcome)
    return f"{record.points:g} of {record.checked.assignment.max_points:g} points"


def plain(text: str) -> str:
    return one_line(text, 200).translate(NO_MARKUP)


def publish(folder: Path, into: Path) -> None:
    """Copies what a student may read of the run in `folder`; what `into` held of an earlier run is gone."""
    if into.is_symlink() or into.is_file():
        into.unlink()
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name in PUBLISHED:
        source = folder / name
        if source.is_symlink():
            continue
        if source.is_dir():
            shutil.copytree(source, into / name, symlinks=True)
        elif source.is_file():
            shutil.copyfile(source, into / name)
