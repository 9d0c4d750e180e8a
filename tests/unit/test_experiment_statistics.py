"""What runs come to: spreads, speed-up, which runs are compared, cost; and what is read of a run's result."""

from __future__ import annotations

import pytest
from support.experiments import experiment, failed, ran, timed
from support.reports import figures, record

from pipeline.errors import Outcome
from pipeline.experiments.reading import ended_whole, failed_for, figures_of, reason_of
from pipeline.experiments.record import Experiment, Point
from pipeline.experiments.statistics import overlapping, spread
from pipeline.figures import Interval, WorkerFigures
from pipeline.reporting.assembly import assemble
from pipeline.result import Result
from pipeline.run import STAGE_NAMES, StageRecord, Status

WORKERS = {"workers": (1, 2, 4)}
REPORT = StageRecord(name="report", status=Status.DONE)


def point(of: Experiment, **setting: object) -> Point:
    return next(one for one in of.points if one.setting == setting)


def result_of(**changes: object) -> Result:
    return assemble(record(), figures(**changes), None, REPORT).model_copy(update={"outcome": Outcome.PASSED})


def test_a_spread_lies_within_what_was_measured() -> None:
    one = spread([4.0])
    assert (one.median, one.least, one.most, one.lower_quartile, one.upper_quartile) == (4, 4, 4, 4, 4)
    several = spread([5.0, 1.0, 2.0, 4.0])
    assert (several.runs, several.median, several.least, several.most) == (4, 3.0, 1.0, 5.0)
    assert (several.lower_quartile, several.upper_quartile) == (1.75, 4.25)


def test_speed_up_is_the_base_s_median_by_each_run_s_time() -> None:
    times = {1: (38.0, 40.0, 42.0), 2: (20.0, 25.0, 32.0), 4: (16.0, 20.0, 20.0)}
    whole = timed(lambda setting, repeat: times[int(setting["workers"])][repeat - 1], WORKERS)
    two = point(whole, workers=2).speed_up
    assert two is not None
    assert (two.median, two.least, two.most) == (1.6, 1.25, 2.0)
    assert point(whole, workers=1).efficiency == 1.0
    assert point(whole, workers=4).efficiency == 0.5
    assert (whole.axis, whole.fastest, whole.cheapest) == ("workers", {"workers": 4}, {"workers": 4})


def test_speed_up_is_taken_with_all_else_equal() -> None:
    axes = {"memory_mb": (256, 512), **WORKERS}
    whole = timed(lambda setting, _: 40 / int(setting["workers"]) + (setting["memory_mb"] == 512), axes, repeat=1)
    assert whole.axis == "workers"
    last = point(whole, memory_mb=512, workers=4).speed_up
    assert last is not None and last.median == pytest.approx(41 / 11, abs=1e-5)
    assert whole.cheapest == {"memory_mb": 256, "workers": 4}


def test_words_on_the_axis_have_no_efficiency() -> None:
    times = {"sync": 20.0, "async": 10.0}
    whole = timed(lambda setting, _: times[str(setting["mode"])], {"mode": ("sync", "async")}, parallel=())
    assert whole.axis == "mode"
    assert point(whole, mode="async").efficiency is None
    assert [one.setting["mode"] for one in whole.points] == ["sync", "async"]


def test_runs_that_did_not_pass_are_not_compared_with_those_that_did() -> None:
    fast = ran(1, 1, {"workers": 4}, 1.0).model_copy(update={"outcome": Outcome.FAILED, "points": 10.0})
    slow = ran(2, 1, {"workers": 1}, 9.0)
    whole = experiment([fast, slow])
    assert whole.fastest == {"workers": 1}
    assert (point(whole, workers=4).compared, point(whole, workers=4).measured) == (0, 1)
    alone = experiment([fast])
    assert alone.fastest == {"workers": 4}


def test_a_run_that_failed_is_kept_and_counts_in_no_figure() -> None:
    dead = failed(ran(1, 1, {"memory_mb": 128}, 1.0), "memory", "execute: it used more memory than its action has")
    whole = experiment([dead, ran(2, 2, {"memory_mb": 128}, 8.0)], repeat=2)
    only = point(whole, memory_mb=128)
    assert only.failed_for == ("memory",)
    assert only.figures["seconds"].runs == 1
    nothing = experiment([dead])
    assert nothing.fastest is None and nothing.cheapest is None


def test_settings_that_cannot_be_told_apart_are_named() -> None:
    times = {1: (10.0, 12.0), 2: (9.0, 11.0), 4: (20.0, 21.0)}
    whole = timed(lambda setting, repeat: times[int(setting["workers"])][repeat - 1], WORKERS, repeat=2)
    assert [one.setting for one in overlapping(whole, "seconds", {"workers": 2})] == [{"workers": 1}]


def test_cost_is_the_memory_limit_times_run_and_cold_start_of_the_job_s_own_functions() -> None:
    functions = (WorkerFigures(worker=0, name="a", cpu_s=3.0), WorkerFigures(worker=1, name="b", cpu_s=1.0))
    intervals = (
        Interval(activation="1", row="a", start=100.0, end=104.0, init_s=1.0, wait_s=7.0),
        Interval(activation="2", row="a", start=110.0, end=111.0),
        Interval(activation="3", row="b", start=100.0, end=103.0, init_s=1.0),
        Interval(activation="4", row="prediction", start=200.0, end=300.0),
    )
    result = result_of(workers=functions, intervals=intervals)
    assert result.memory_mb == 512
    assert (result.metrics.functions_s, result.metrics.cold_start_s, result.metrics.queued_s) == (8.0, 2.0, 7.0)
    assert result.metrics.gb_seconds == 0.5 * (8.0 + 2.0)
    assert (result.workers[0].running_s, result.workers[0].cold_start_s) == (5.0, 1.0)
    assert "gb_seconds" in result.metrics.measured
    assert figures_of(result).cpu_percent == 40.0


def test_a_training_s_own_words_split_its_time() -> None:
    found = figures_of(result_of())
    assert found.split_source == "reported"
    assert (found.execution_s, found.communication_s, found.waiting_s) == (56.0, 10.0, 7.0)
    assert found.communication_percent == pytest.approx(13.7, abs=0.01)


def test_without_them_the_forwarder_to_the_store_does() -> None:
    functions = (WorkerFigures(worker=0, name="a", reported=()),)
    intervals = (Interval(activation="1", row="a", start=100.0, end=110.0),)
    found = figures_of(
        result_of(workers=functions, intervals=intervals, store_s=4.0, store_requests=9, store_bytes_sent=5)
    )
    assert (found.split_source, found.execution_s, found.communication_s) == ("measured", 6.0, 4.0)
    assert (found.communication_percent, found.requests, found.bytes_sent) == (40.0, 9, 5)
    more = figures_of(result_of(workers=functions, intervals=intervals, store_s=40.0))
    assert (more.execution_s, more.communication_percent) == (0.0, 100.0)
    none = figures_of(result_of(workers=functions, intervals=()))
    assert none.split_source == "" and none.gb_seconds is None


@pytest.mark.parametrize(
    ("reason", "outcome", "word"),
    [
        ("it used more memory than its action has", Outcome.LIMIT, "memory"),
        ("training took longer than 900 s", Outcome.LIMIT, "time"),
        ("it started too many processes", Outcome.LIMIT, "processes"),
        ("the store does not answer", Outcome.INFRASTRUCTURE, "infrastructure"),
        ("ValueError: x", Outcome.FAILED, "error"),
    ],
)
def test_a_failed_stage_is_a_result_with_its_cause_in_a_word(reason: str, outcome: Outcome, word: str) -> None:
    at = STAGE_NAMES.index("execute")
    whole = result_of()
    stage = whole.stages[at].model_copy(update={"status": Status.FAILED, "reason": reason})
    result = whole.model_copy(
        update={"outcome": outcome, "stages": (*whole.stages[:at], stage, *whole.stages[at + 1 :])}
    )
    assert ended_whole(whole) and not ended_whole(result)
    assert reason_of(result) == f"execute: {reason}"
    assert failed_for(result, reason_of(result)) == word
