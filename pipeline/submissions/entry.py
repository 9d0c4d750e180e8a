"""One pushed submission and what has become of it so far."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pipeline.errors import Outcome
from pipeline.frozen import Name

COMMIT = r"^[0-9a-f]{40}([0-9a-f]{24})?$"
NAMESPACE = uuid.UUID("6f2f3a52-7f0b-5c1c-9d4e-3a8c6e1b90d7")


class State(StrEnum):
    """Waiting and started ones are the dispatcher's, parked ones wait for staff, the rest is over."""

    WAITING = "waiting"
    STARTED = "started"
    PARKED = "parked"
    GRADED = "graded"
    SUPERSEDED = "superseded"
    REFUSED = "refused"

    @property
    def is_over(self) -> bool:
        return self in {State.GRADED, State.SUPERSEDED, State.REFUSED}


class Priority(StrEnum):
    """Pushes go before regrades."""

    PUSH = "push"
    REGRADE = "regrade"


class Entry(BaseModel):
    """Replaced in the spool at each change, never changed in place. Times are aware."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    course: Name
    assignment: Name
    student: Name = Field(description="the owner of the repository, a student or a team")
    repository: str
    ref: str
    old: str = Field(pattern=COMMIT)
    new: str = Field(pattern=COMMIT)
    arrived: AwareDatetime = Field(description="when the repository's reference moved, by its reflog")
    priority: Priority = Priority.PUSH
    regrade_of: str = Field(default="", description="the id of the submission that is graded again")
    applied: AwareDatetime | None = Field(default=None, description="when staff let a regrade count")
    state: State = State.WAITING
    reason: str = Field(default="", description="why it waits, was parked, refused")
    superseded_by: str = ""
    attempt: int = Field(default=1, ge=1)
    tries: int = Field(default=0, ge=0, description="how often it was started")
    not_before: AwareDatetime | None = None
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    outcome: Outcome | None = None
    points: float | None = None
    most_points: float | None = None
    build_url: str = ""

    @property
    def short(self) -> str:
        return self.id[:10]


def submission_id(repository: str, ref: str, old: str, new: str) -> str:
    """The same push has the same id, whoever finds it: the hook, a webhook, the reconciler."""
    return uuid.uuid5(NAMESPACE, "\n".join((repository, ref, old, new))).hex


def now() -> datetime:
    return datetime.now(UTC)
