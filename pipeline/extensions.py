"""What one student may do beyond what an assignment grants to all: a later deadline, more attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from pydantic import AwareDatetime, Field, model_validator

from pipeline.frozen import Frozen, Name


class Extension(Frozen):
    """`student` is the owner of the repository, a student or a team. What is not named stays as it is for all."""

    student: Name
    deadline: AwareDatetime | None = None
    attempts: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _extends_something(self) -> Self:
        if self.deadline is None and self.attempts is None:
            raise ValueError(f"the extension of {self.student} names neither a deadline nor attempts")
        return self


def faults_of_extensions(extensions: Sequence[Extension], deadline: datetime | None, attempts: int | None) -> list[str]:
    """What is wrong with the extensions of an assignment with this deadline and so many attempts.

    None may take something away: that is a slip of the pen more often than it is meant.
    """
    most, last = attempts or "no end of them", deadline or "there is none"
    students = [one.student for one in extensions]
    found = [
        f"{name} has two extensions: put them together" for name in sorted(set(students)) if students.count(name) > 1
    ]
    for one in extensions:
        if one.deadline is not None and (deadline is None or one.deadline < deadline):
            found.append(f"the extension of {one.student} ends before the deadline of all ({last})")
        if one.attempts is not None and (attempts is None or one.attempts < attempts):
            found.append(f"the extension of {one.student} has fewer attempts than all have ({most})")
    return found
