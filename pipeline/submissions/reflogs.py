"""What reflogs tell of the pushes that a course's repositories have had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.errors import InfrastructureError
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.references import NOTHING, REF

# git takes < > and line feeds out of names, and leaves tabs, control characters and bytes that are not UTF-8
REFLOG = re.compile(r"([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [^>\n]*> (\d{1,11}) [+-]\d{4}(?:\t[^\n]*)?")


@dataclass(frozen=True)
class Moved:
    """One line of the graded branch's reflog: a push."""

    old: str
    new: str
    arrived: datetime


def pushes(repository: Path) -> list[Moved]:
    """Every push to the graded branch, the earliest first, as its reflog tells. Deletions are none."""
    path = repository / "logs" / REF
    try:
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be read: {error.strerror}", hint="look at its owner") from error
    return list(moves(lines))


def moves(lines: list[str]) -> Iterator[Moved]:
    """A push arrives after the one before it, though it came within the same second, or the clock was set back."""
    last = datetime.min.replace(tzinfo=UTC)
    for line in lines:
        match = REFLOG.fullmatch(line)
        if match and not NOTHING.fullmatch(match[2]):
            last = max(datetime.fromtimestamp(int(match[3]), UTC), last + timedelta(microseconds=1))
            yield Moved(match[1], match[2], last)


def repositories(course: CourseFolder) -> Iterator[tuple[str, str, Path]]:
    """(student, assignment, repository) of each that is there."""
    for path in sorted(course.repositories.glob("*/*.git")):
        yield path.parent.name, path.name.removesuffix(".git"), path
