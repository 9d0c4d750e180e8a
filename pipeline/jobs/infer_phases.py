"""What came of the calls of an inference, phase by phase: remembered in few writes, since there are hundreds of calls.

A phase is remembered when it is whole; one that a kill cut short is asked again.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.backends.functions import Activation
from pipeline.calling.bulk import Answered, Burst
from pipeline.calling.remembered import Book, Executing, Remembered
from pipeline.kinds.infer import InferData, InferJob

LIMITS = ("memory", "time", "processes")
CLASSES = 10
FAILED, NO_NUMBER = "failed", "no number"
PROBLEMS = {
    "": "answered",
    "memory": "it used more memory than its action has",
    "time": "it met the time limit of its action",
    "processes": "it started too many processes",
    FAILED: "the function failed",
    NO_NUMBER: 'the answer was not {"code": 200, "res": a whole number}',
}
"""All that a student learns of why a call with a hidden picture failed: the rest could carry the picture out."""


@dataclass(frozen=True)
class Plan:
    """Calls with the hidden pictures `first` to `first + count`, `at_once` at a time."""

    name: str
    at_once: int
    first: int
    count: int


class Outcome(Remembered):
    """One call. Times in seconds, `start` since the epoch; `seconds` is what its client waited."""

    activation: str
    start: float
    end: float
    wait_s: float
    init_s: float | None
    seconds: float
    answer: int | None = None
    problem: str = ""

    @property
    def latency(self) -> float:
        return latency_of(self)

    @property
    def cold(self) -> bool:
        return self.init_s is not None


def latency_of(call: Outcome | Activation) -> float:
    """Seconds from OpenWhisk's taking a call to its answer, by its record: a cold start is part of it."""
    return call.wait_s + call.end - call.start


class Phase(Remembered):
    """One plan carried out. `warming` are calls before it with shown pictures, which start its containers."""

    name: str
    at_once: int
    seconds: float
    warming: tuple[Outcome, ...]
    calls: tuple[Outcome, ...]

    @property
    def answered(self) -> list[Outcome]:
        return [one for one in self.calls if not one.problem]

    @property
    def throughput(self) -> float | None:
        """Answers a second, by the coordinator's clock; None where there was none."""
        return len(self.answered) / self.seconds if self.answered and self.seconds > 0 else None

    def latency(self, percent: int) -> float | None:
        """Of warm calls where there are any, of all that were answered otherwise."""
        return percentile([one.latency for one in self.answered if not one.cold] or self.latencies, percent)

    @property
    def latencies(self) -> list[float]:
        return [one.latency for one in self.answered]


def plans(job: InferJob, data: InferData) -> list[Plan]:
    """One after another first, then the bursts. Each hidden picture is asked for once, so that no answer is known."""
    alone = Plan("1 at once", 1, 0, data.images)
    bursts = [
        Plan(f"{at_once} at once", at_once, data.images + number * job.burst, job.burst)
        for number, at_once in enumerate(job.bursts)
    ]
    return [alone, *bursts]


def phase_of(plan: Plan, warming: Burst, burst: Burst) -> Phase:
    warmed = tuple(outcome(one) for one in warming.answers)
    calls = tuple(outcome(one) for one in burst.answers)
    return Phase(name=plan.name, at_once=plan.at_once, seconds=burst.seconds, warming=warmed, calls=calls)


def outcome(call: Answered) -> Outcome:
    record = call.record
    answer = None if call.failure else number_in(record)
    problem = "" if answer is not None else NO_NUMBER
    if call.failure:
        problem = call.failure.limit or FAILED
    return Outcome(
        activation=record.id,
        start=record.start,
        end=record.end,
        wait_s=record.wait_s,
        init_s=record.init_s,
        seconds=round(call.seconds, 6),
        answer=answer,
        problem=problem,
    )


def number_in(record: Activation) -> int | None:
    """The class of an answer that keeps to the contract; None for any other, which could say what the picture was."""
    result = record.result
    if not isinstance(result, dict) or result.get("code") != 200:
        return None
    answer: Any = result.get("res")
    return answer if type(answer) is int and 0 <= answer < CLASSES else None


def percentile(values: Sequence[float], percent: int) -> float | None:
    """By linear interpolation between the two nearest; None of nothing."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def remember(book: Book, phase: Phase, seconds: float) -> None:
    """A whole phase, after `seconds` of the job."""
    phases = [*book.state.kept.get("phases", []), phase.model_dump(mode="json")]
    book.worked(seconds, counts=True, kept=book.state.kept | {"phases": phases})


def remembered(state: Executing) -> list[Phase]:
    return [Phase.model_validate(one) for one in state.kept.get("phases", [])]
