"""The walk: what is done stays done, a failure names its owner, a report is always made, a stop can be gone on with."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import flow
from pipeline.errors import CourseError, InfrastructureError, LimitError, Outcome, SubmissionError, UsageError
from pipeline.listener import Silent
from pipeline.lock import exclusive
from pipeline.run import STAGE_NAMES, Record, Request, Run, StageRecord, Status
from pipeline.settings import Course

Walked = list[str]


class Servers:
    """Counts what a clean-up asks for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: self.calls.append(name)

    def started(self) -> bool:
        return True


class Backends:
    def __init__(self) -> None:
        self.servers = Servers()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    record = Record(
        run="r1",
        request=Request(source="."),
        course=Course(assignments=()),
        settings_sha256="0" * 64,
        created=datetime.now(UTC),
    )
    return Run.create(tmp_path / "run", record)


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stages that only note that they ran; a test replaces one by what it wants to happen."""
    order: Walked = []
    special: dict[str, Callable[[Run], None]] = {}

    def made(name: str) -> flow.Stage:
        def stage(run: Run, backends: Any, log: Callable[[str], None]) -> None:
            order.append(name)
            log(f"{name} at work")
            if name in special:
                special[name](run)
            elif name == "report" and run.record.outcome is None:
                run.update(outcome=Outcome.PASSED)

        return stage

    monkeypatch.setattr(flow, "stages", lambda _listener: {name: made(name) for name in STAGE_NAMES})
    return {"order": order, "special": special}


def failing(error: BaseException) -> Callable[[Run], None]:
    def stage(_run: Run) -> None:
        raise error

    return stage


def walk(run: Run) -> Outcome:
    return flow.walk(run, Backends(), Silent())  # type: ignore[arg-type]


def statuses(run: Run) -> dict[str, Status]:
    return {stage.name: stage.status for stage in run.record.stages}


def test_all_nine_stages_in_order(run: Run, walked: dict[str, Any]) -> None:
    assert walk(run) is Outcome.PASSED
    assert walked["order"] == list(STAGE_NAMES)
    assert set(statuses(Run.open(run.folder)).values()) == {Status.DONE}
    assert run.stage_log("build").read_text() == "build at work\n"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (SubmissionError("two faults"), Outcome.FAILED),
        (LimitError("too slow"), Outcome.LIMIT),
        (CourseError("no base"), Outcome.COURSE),
        (InfrastructureError("no index"), Outcome.INFRASTRUCTURE),
        (ZeroDivisionError("oh"), Outcome.INFRASTRUCTURE),
    ],
)
def test_a_failure_has_an_owner_and_the_report_is_made(
    run: Run, walked: dict[str, Any], error: Exception, outcome: Outcome
) -> None:
    walked["special"]["check"] = failing(error)

    assert walk(run) is outcome
    assert walked["order"] == ["fetch", "check", "report"]
    assert statuses(run)["check"] is Status.FAILED
    assert statuses(run)["execute"] is Status.SKIPPED
    assert run.record.stage("execute").reason == "not reached: check failed"
    assert str(error) in run.record.reason


def test_a_traceback_is_kept_for_staff_only(run: Run, walked: dict[str, Any]) -> None:
    walked["special"]["render"] = failing(ZeroDivisionError("oh"))
    walk(run)

    assert "ZeroDivisionError" in (run.hidden_logs / "render.traceback.log").read_text()
    assert "Traceback" not in run.stage_log("render").read_text()


def test_what_a_failed_execution_left_is_collected(run: Run, walked: dict[str, Any]) -> None:
    walked["special"]["execute"] = failing(SubmissionError("worker-0: it raised"))

    assert walk(run) is Outcome.FAILED
    assert walked["order"][-2:] == ["collect", "report"]


def test_resume_does_not_repeat_what_is_done(run: Run, walked: dict[str, Any]) -> None:
    walked["special"]["execute"] = failing(InfrastructureError("the engine died"))
    assert walk(run) is Outcome.INFRASTRUCTURE
    walked["order"].clear()
    del walked["special"]["execute"]

    assert flow.resume(Run.open(run.folder), Backends(), Silent()) is Outcome.PASSED  # type: ignore[arg-type]
    assert walked["order"] == ["register", "execute", "collect", "report"]


def test_resume_after_a_kill_goes_on_with_the_stage_that_ran(run: Run, walked: dict[str, Any]) -> None:
    walked["special"]["build"] = failing(SystemExit())
    with pytest.raises(SystemExit):
        walk(run)
    walked["order"].clear()
    del walked["special"]["build"]

    assert flow.resume(Run.open(run.folder), Backends(), Silent()) is Outcome.PASSED  # type: ignore[arg-type]
    assert walked["order"] == list(STAGE_NAMES[3:])


def test_a_run_that_lacks_only_its_report_gets_that_alone_also_from_another_build(
    run: Run, walked: dict[str, Any]
) -> None:
    """What was collected is not computed again: by then the run's store has gone."""
    walked["special"]["report"] = failing(SystemExit())
    with pytest.raises(SystemExit):
        walk(run)
    walked["order"].clear()
    del walked["special"]["report"]

    flow.again(run, lambda: run.record)
    assert flow.resume(Run.open(run.folder), Backends(), Silent()) is Outcome.PASSED  # type: ignore[arg-type]
    assert walked["order"] == ["report"]


@pytest.mark.parametrize("error", [SubmissionError("yours"), LimitError("too much")])
def test_a_students_failure_is_final(run: Run, walked: dict[str, Any], error: Exception) -> None:
    walked["special"]["execute"] = failing(error)
    first = walk(run)
    walked["order"].clear()

    assert flow.resume(Run.open(run.folder), Backends(), Silent()) is first  # type: ignore[arg-type]
    assert walked["order"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_aborts_in_order_and_can_be_resumed(run: Run, walked: dict[str, Any], number: signal.Signals) -> None:
    walked["special"]["execute"] = lambda _run: os.kill(os.getpid(), number)

    assert walk(run) is Outcome.ABORTED
    assert walked["order"][-1] == "report"
    assert number.name in run.record.reason
    del walked["special"]["execute"]
    assert flow.resume(Run.open(run.folder), Backends(), Silent()) is Outcome.PASSED  # type: ignore[arg-type]


def test_stages_one_by_one(run: Run, walked: dict[str, Any]) -> None:
    for name in STAGE_NAMES:
        flow.stage(name, Run.open(run.folder), Backends(), Silent())  # type: ignore[arg-type]

    assert walked["order"] == list(STAGE_NAMES)
    assert Run.open(run.folder).record.outcome is Outcome.PASSED


def test_a_stage_out_of_order_is_refused_with_the_one_to_take(run: Run, walked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="comes after fetch"):
        flow.stage("build", run, Backends(), Silent())  # type: ignore[arg-type]


def test_a_stage_is_not_done_twice(run: Run, walked: dict[str, Any]) -> None:
    for _ in range(2):
        flow.stage("fetch", Run.open(run.folder), Backends(), Silent())  # type: ignore[arg-type]

    assert walked["order"] == ["fetch"]


def test_cancel_marks_and_reports_and_a_second_time_is_harmless(run: Run, walked: dict[str, Any]) -> None:
    flow.stage("fetch", run, Backends(), Silent())  # type: ignore[arg-type]

    for _ in range(2):
        assert flow.cancel(Run.open(run.folder), Backends(), Silent()) is Outcome.ABORTED  # type: ignore[arg-type]
    assert walked["order"] == ["fetch", "report"]


def test_cleaning_up_frees_the_servers(run: Run, walked: dict[str, Any]) -> None:
    backends = Backends()
    flow.walk(run, backends, Silent())  # type: ignore[arg-type]

    assert backends.servers.calls == ["cancel", "stop"]


def test_servers_are_stopped_also_when_they_do_not_answer(run: Run, walked: dict[str, Any]) -> None:
    backends = Backends()
    backends.servers.cancel = lambda: failing(InfrastructureError("no answer"))(run)  # type: ignore[attr-defined]

    assert flow.walk(run, backends, Silent()) is Outcome.PASSED  # type: ignore[arg-type]
    assert backends.servers.calls == ["stop"]


def test_a_failure_killed_before_its_report_gets_it_by_resume(run: Run, walked: dict[str, Any]) -> None:
    walked["special"] |= {"execute": failing(SubmissionError("yours")), "report": failing(SystemExit())}
    with pytest.raises(SystemExit):
        walk(run)
    walked["order"].clear()
    walked["special"].clear()
    backends = Backends()

    assert flow.resume(Run.open(run.folder), backends, Silent()) is Outcome.FAILED  # type: ignore[arg-type]
    assert walked["order"] == ["report"]
    assert backends.servers.calls[-1] == "stop"
    assert Run.open(run.folder).record.reason == "yours"


def test_a_signal_between_two_stages_aborts_in_order(run: Run, walked: dict[str, Any]) -> None:
    class Stopped(Silent):
        def stage_ended(self, stage: StageRecord) -> None:
            if stage.name == "render":
                os.kill(os.getpid(), signal.SIGINT)

    assert flow.walk(run, Backends(), Stopped()) is Outcome.ABORTED  # type: ignore[arg-type]
    assert walked["order"] == ["fetch", "check", "render", "report"]


def test_signals_do_not_stop_the_report(run: Run, walked: dict[str, Any]) -> None:
    def report(run: Run) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        run.update(outcome=Outcome.PASSED)

    walked["special"]["report"] = report

    assert walk(run) is Outcome.PASSED
    assert statuses(run)["report"] is Status.DONE


def test_a_run_that_was_cancelled_before_it_began_does_not_begin(run: Run, walked: dict[str, Any]) -> None:
    begun = Run.open(run.folder)
    flow.cancel(run, Backends(), Silent())  # type: ignore[arg-type]

    assert walk(begun) is Outcome.ABORTED
    assert walked["order"] == ["report"]


def test_a_full_disk_is_named_and_everything_is_freed(
    run: Run, walked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_run: Run) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")

    walked["special"]["build"] = lambda _run: monkeypatch.setattr(Run, "save", full)
    backends = Backends()

    with pytest.raises(InfrastructureError, match="the disk is full: /somewhere"):
        flow.walk(run, backends, Silent())  # type: ignore[arg-type]
    assert backends.servers.calls == ["cancel", "stop"]
    monkeypatch.undo()
    assert statuses(Run.open(run.folder))["build"] is Status.RUNNING


def test_what_fails_on_a_disk_that_is_nearly_full_says_that_first(
    run: Run, walked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "nearly_full", lambda folder: True)
    walked["special"]["build"] = failing(InfrastructureError("put shards/0: Internal Error"))
    walk(run)
    assert run.record.reason == "the disk is nearly full: put shards/0: Internal Error"
    assert f"make room on the disk of {run.folder}" in run.record.hint


def test_of_a_copy_the_disk_it_was_going_to_is_the_full_one(run: Run, walked: dict[str, Any]) -> None:
    copying = OSError(errno.ENOSPC, "No space left on device", "/from", None, "/to")
    walked["special"]["build"] = failing(copying)
    assert walk(run) is Outcome.INFRASTRUCTURE
    assert run.record.reason == "the disk is full: /to"


def test_two_processes_do_not_work_on_one_run(run: Run, walked: dict[str, Any]) -> None:
    with exclusive(run.in_use_file), pytest.raises(UsageError, match="another process") as caught:
        walk(run)
    assert f"`pipeline cancel {run.folder}`" in caught.value.hint


@pytest.mark.parametrize("outcome", [None, Outcome.ABORTED, Outcome.INFRASTRUCTURE])
def test_another_build_of_a_submission_goes_on_with_what_was_not_the_students(
    run: Run, walked: dict[str, Any], outcome: Outcome | None
) -> None:
    for name in STAGE_NAMES[:4]:
        flow.stage(name, run, Backends(), Silent())  # type: ignore[arg-type]
    run.update(outcome=outcome)
    flow.again(run, lambda: pytest.fail("it needs no new record"))
    for name in STAGE_NAMES:
        flow.stage(name, run, Backends(), Silent())  # type: ignore[arg-type]
    assert walked["order"] == list(STAGE_NAMES)
    assert run.record.outcome is Outcome.PASSED


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.FAILED, Outcome.LIMIT])
def test_another_build_of_a_graded_submission_changes_nothing(
    run: Run, walked: dict[str, Any], outcome: Outcome
) -> None:
    walked["special"]["report"] = lambda run: run.update(outcome=outcome)
    flow.walk(run, Backends(), Silent())  # type: ignore[arg-type]
    before = run.record
    flow.again(run, lambda: pytest.fail("it needs no new record"))
    for name in STAGE_NAMES:
        flow.stage(name, run, Backends(), Silent())  # type: ignore[arg-type]
    assert run.record == before
    assert walked["order"] == list(STAGE_NAMES)


def test_another_build_after_a_fault_of_the_course_begins_anew(run: Run, walked: dict[str, Any]) -> None:
    walked["special"]["check"] = failing(CourseError("the base is missing"))
    begun = run.record
    flow.walk(run, Backends(), Silent())  # type: ignore[arg-type]
    mended = begun.model_copy(update={"settings_sha256": "1" * 64})
    flow.again(run, lambda: mended)
    assert Run.open(run.folder).record == mended
