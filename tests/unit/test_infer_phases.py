"""Inference graded: what calls come to, how they are summed up, and calls made in bulk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from pipeline.backends.functions import Activation
from pipeline.calling import bulk
from pipeline.calling.bulk import Bulk
from pipeline.calling.failures import failure
from pipeline.errors import InfrastructureError, LimitError, ThrottledError
from pipeline.jobs.infer_phases import Phase, outcome, percentile, phase_of, plans
from pipeline.jobs.infer_report import Scored, measured
from pipeline.kinds.infer import INFER, InferData, InferJob


def record(result: Any, status: str = "success", *, start: float = 0.0, cold: bool = False, **more: Any) -> Activation:
    times = {"start": start, "end": start + 0.02, "wait_s": 0.01, "init_s": 1.0 if cold else None, "timed_out": False}
    return Activation(
        id="f" * 32, action="a", success=status == "success", status=status, result=result, size_bytes=0, **times | more
    )


class Functions:
    """Answers calls as `answers` says, by the parameter `n`; what is an error is raised."""

    def __init__(self, answers: Mapping[int, list[Any]]) -> None:
        self.answers = {number: list(each) for number, each in answers.items()}
        self.called: list[int] = []

    def call(self, name: str, parameters: Mapping[str, Any]) -> tuple[str, Activation | None]:
        number = parameters["n"]
        self.called.append(number)
        found = self.answers.get(number, [])
        answer = found.pop(0) if found else record({"code": 200, "res": number})
        if isinstance(answer, Exception):
            raise answer
        return "f" * 32, answer

    def activation(self, _: str) -> Activation | None:
        return record({"code": 200, "res": 7})


def run(functions: Functions, count: int = 3, at_once: int = 2, **options: Any) -> bulk.Burst:
    made = Bulk(functions, "a", 30.0, options.pop("look", lambda _: None), **options)  # type: ignore[arg-type]
    return made.run([{"n": number} for number in range(count)], at_once)


LOST = record({"error": "infrastructure: image: the server answered 503", "code": 400}, "application error")
CRASHED = record({"error": "main.py, line 3: ValueError: 7"}, "application error")
MEMORY = record({"error": "The action exhausted its memory and was aborted."}, "action developer error")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "LOOK_S", 0.001)
    monkeypatch.setattr(bulk, "POLL_S", 0.001)


def test_answers_come_in_the_order_of_the_calls() -> None:
    burst = run(Functions({}), count=40, at_once=8)
    assert [one.record.result["res"] for one in burst.answers] == list(range(40))
    assert burst.seconds > 0


def test_what_a_server_failed_is_called_again_and_what_the_student_failed_is_not() -> None:
    functions = Functions({0: [LOST, LOST], 1: [CRASHED], 2: [None]})
    burst = run(functions)
    assert functions.called.count(0) == 3 and functions.called.count(1) == 1
    assert [outcome(one).problem for one in burst.answers] == ["", "failed", ""]
    assert burst.answers[2].record.result["res"] == 7, "what takes longer than a server waits is asked for"
    with pytest.raises(InfrastructureError, match="it was lost"):
        run(Functions({1: [LOST] * 3}))


def test_a_server_that_takes_none_is_waited_for_and_costs_the_submission_nothing() -> None:
    held: list[float] = []
    burst = run(Functions({1: [ThrottledError("too many", wait_s=0.2)]}), at_once=1, held=held.append)
    assert sum(held) == pytest.approx(0.2, abs=0.05) and burst.seconds < 0.2


def test_the_time_of_the_job_ends_a_burst() -> None:
    def look(_: int) -> None:
        raise LimitError("the job took longer than it may")

    with pytest.raises(LimitError):
        run(Functions({0: [ThrottledError("for long", wait_s=60)]}), look=look)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (record({"code": 200, "res": 3}), ""),
        (record({"code": 200, "res": True}), "no number"),
        (record({"code": 200, "res": "3"}), "no number"),
        (record({"code": 200, "res": 10}), "no number"),
        (record({"code": 200, "res": -1}), "no number"),
        (record({"code": 500, "res": 3}), "no number"),
        (record([3]), "no number"),
        (CRASHED, "failed"),
        (MEMORY, "memory"),
        (record({"error": "x"}, "action developer error", timed_out=True), "time"),
    ],
)
def test_only_a_whole_number_in_the_contract_is_an_answer(answer: Activation, problem: str) -> None:
    why = None if answer.success else failure(answer)
    assert outcome(bulk.Answered(answer, why, 0.1)).problem == problem


def test_each_hidden_picture_is_asked_for_once() -> None:
    planned = plans(InferJob(concurrency=(16, 1, 4), burst=10), InferData(images=5))
    rows = [row for one in planned for row in range(one.first, one.first + one.count)]
    assert rows == list(range(25))
    assert [one.at_once for one in planned] == [1, 4, 16]


def phases() -> list[Phase]:
    cold = record({"code": 200, "res": 1}, cold=True)
    answers = [*(record({"code": 200, "res": number}) for number in (1, 2, 3)), cold, CRASHED]
    calls = [bulk.Answered(one, None if one.success else failure(one), 0.1) for one in answers]
    (plan,) = plans(InferJob(concurrency=(1,)), InferData(images=5))
    return [phase_of(plan, bulk.Burst((), 0.0), bulk.Burst(tuple(calls), 2.0))]


def test_a_call_without_an_answer_is_an_error_and_not_right() -> None:
    found = phases()
    scored = Scored(found[0].calls, np.array([1, 2, 9, 1, 5], np.uint8))
    measures = measured(found, scored, 1.5)
    assert measures["accuracy"] == pytest.approx(3 / 5) and measures["errors"] == pytest.approx(1 / 5)
    assert scored.mistakes == [2]
    assert measures["throughput_1"] == 2.0, "answers a second"
    assert measures["latency_p95"] == pytest.approx(0.03), "the cold call is not among the warm ones"
    assert all(INFER.measure(name) for name in measures)


def test_percentiles_lie_between_the_values() -> None:
    assert percentile([], 50) is None and percentile([3.0], 95) == 3.0
    assert percentile([0.0, 1.0], 50) == 0.5
    assert percentile([float(one) for one in range(101)], 95) == pytest.approx(95.0)
