"""One root of errors. Each says what happened, to which input, what to do next, and whose fault it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a run ended, and so whose fault it was (docs/design.md, decision 10)."""

    PASSED = "passed"
    FAILED = "failed"
    LIMIT = "limit"
    INFRASTRUCTURE = "infrastructure"
    COURSE = "course"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self]

    @property
    def counts_as_attempt(self) -> bool:
        return self in {Outcome.PASSED, Outcome.FAILED, Outcome.LIMIT}


EXIT_CODES = {
    Outcome.PASSED: 0,
    Outcome.FAILED: 10,
    Outcome.LIMIT: 11,
    Outcome.COURSE: 2,
    Outcome.INFRASTRUCTURE: 3,
    Outcome.ABORTED: 130,
    Outcome.SUPERSEDED: 130,
}
USAGE_EXIT_CODE = 2


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one input: where it is, what is wrong, what to do."""

    where: str
    message: str
    hint: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.where}:{self.line}" if self.line is not None else self.where
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {self.message}{hint}"


class PipelineError(Exception):
    """The root of every error that a person can meet.

    `message` names what happened and to which input, `hint` what to do next, `faults` lists every fault
    found where several were looked for at once.
    """

    outcome = Outcome.INFRASTRUCTURE

    def __init__(self, message: str, *, hint: str = "", faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.faults = tuple(faults)

    @property
    def exit_code(self) -> int:
        return self.outcome.exit_code


class UsageError(PipelineError):
    """The command line asks for something that cannot be done."""

    outcome = Outcome.COURSE


class CourseError(PipelineError):
    """The course's settings or files are at fault."""

    outcome = Outcome.COURSE


class SubmissionError(PipelineError):
    """What the student pushed is at fault."""

    outcome = Outcome.FAILED


class LimitError(PipelineError):
    """A limit of the assignment was met: time, memory, output, processes."""

    outcome = Outcome.LIMIT


class InfrastructureError(PipelineError):
    """A server, the network, the disk or this program is at fault; never the student."""

    outcome = Outcome.INFRASTRUCTURE


class ThrottledError(InfrastructureError):
    """A server takes no more for now; it was not done, and may be tried again in `wait_s` seconds."""

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message, hint="the server's operator can raise its limits")
        self.wait_s = wait_s


class AbortedError(PipelineError):
    """A person stopped the run."""

    outcome = Outcome.ABORTED
