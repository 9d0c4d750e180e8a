"""The report that a build archived, from Jenkins into the course's folder: a little at each look, within bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.backends.ci.jenkins import AwayError, Connection
from pipeline.errors import InfrastructureError
from pipeline.submissions.brought import FORM, Gathering, brought_to

FOLDER = "artifact/report"
RESULT = "result.json"
SLICE_S = 2.0
"""A look brings files for so long, then it is the next submission's turn."""
MOST_FILES = 400
MOST_FILE_BYTES = 72 << 20
"""A model of 64 MB and its header, as much as a course takes unless its settings say more."""
MOST_BYTES = 128 << 20
"""Of one report."""


@dataclass(frozen=True)
class Report:
    """Of the build with this number and path in Jenkins; `result` is its result.json, which was looked at already."""

    path: str
    build: int
    result: bytes


def bring(connection: Connection, report: Report, folder: Path, clock: Callable[[], float]) -> bool:
    """Whether the report is in `folder` now, whole.

    What is too large, or what Jenkins has no more, stays there, and is named. Raises AwayError where Jenkins does not
    answer: what was brought until then is kept for the next call.
    """
    done = brought_to(folder)
    if done is not None and done.build == report.build:
        return True
    gathering, begun = Gathering(folder, report.build), clock()
    missing = [one for one in archived(connection, report.path) if not gathering.has(one)]
    for at, name in enumerate(missing):
        if at > 0 and clock() >= begun + SLICE_S:  # one at least comes at each look
            return False
        bring_one(connection, report.path, name, gathering)
    gathering.add(RESULT, report.result)
    gathering.put_in_place()
    return True


def archived(connection: Connection, path: str) -> list[str]:
    """Names below report/ of the forms that are known here; whatever else Jenkins lists is none of ours."""
    listed = connection.json(path, f"artifacts[relativePath]{{0,{MOST_FILES}}}").get("artifacts") or ()
    names = [str(one.get("relativePath", "")).removeprefix("report/") for one in listed]
    return [one for one in dict.fromkeys(names) if FORM.fullmatch(one) and one != RESULT]


def bring_one(connection: Connection, path: str, name: str, gathering: Gathering) -> None:
    try:
        left = MOST_BYTES - gathering.size_bytes
        gathering.add(name, connection.read(f"{path}/{FOLDER}/{name}", min(left, MOST_FILE_BYTES)))
    except AwayError:
        raise
    except InfrastructureError as error:  # the grade does not wait for a file that does not come
        gathering.leave_out(name, error.message)
