"""The report stage: it works for every run, keeps the record's failure, and says nothing that it does not know."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.reports import ARRIVED, assignment, ended_early, figures, make_run, record, stages, worker

from pipeline.errors import Outcome
from pipeline.figures import Figures, LossPoint
from pipeline.reporting.summary import summary
from pipeline.result import Result, schema_text
from pipeline.run import Record, Request, Run, StageRecord, Status
from pipeline.settings import Course, Isolation, LateRule, Sandbox
from pipeline.stages.report import report


def reported(run: Run) -> tuple[dict[str, Any], str, list[str]]:
    """Runs the stage; result.json, the page, and what was logged."""
    lines: list[str] = []
    report(run, None, lines.append)  # type: ignore[arg-type]  # the report needs no backend
    result = json.loads(run.result_file.read_text(), parse_constant=pytest.fail)
    jsonschema.validate(result, json.loads(schema_text()), format_checker=jsonschema.FormatChecker())
    return result, run.report_file.read_text(), lines


def test_a_passed_run_says_so_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "runs" / "demo", record(practice=True), figures())
    result, page, lines = reported(run)
    assert lines == ["report.html, result.json, junit.xml"]
    assert (run.record.outcome, run.record.points) == (Outcome.PASSED, 100)
    assert (result["outcome"], result["points"], result["practice"]) == ("passed", 100, True)
    assert "Passed" in page and "practice, not a grade" in page
    assert summary(Result.model_validate(result), run.report_file) == (
        "PASSED 100/100 mnist-train: accuracy 0.981 (from 0.098), 40 s, 2 workers, practice, not a grade"
        " - runs/demo/report.html"
    )
    assert result["stages"][-1]["status"] == "done"


def test_the_summary_says_that_points_are_fewer_for_being_late(tmp_path: Path) -> None:
    due = assignment(deadline=ARRIVED - timedelta(hours=1), late=LateRule(days=2, percent_a_day=10))
    run = make_run(tmp_path / "run", record(due), figures())
    said = summary(Result.model_validate(reported(run)[0]), run.report_file)
    assert "PASSED 90/100" in said
    assert ", 1 day late" in said


def test_the_record_on_disk_has_outcome_and_points(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", record(), figures(accuracy=0.5))
    reported(run)
    again = Run.open(run.folder).record
    assert (again.outcome, again.points) == (Outcome.FAILED, 20)
    assert "accuracy is 0.5000" in again.reason


def test_reporting_again_gives_the_same_and_forgets_old_plots(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", record(), figures(accuracy=0.5))
    first, _, _ = reported(run)
    (run.plots / "old.svg").write_text("<svg/>")
    second, _, _ = reported(run)
    for one in (first, second):
        one.pop("stages")
    assert first == second
    assert not (run.plots / "old.svg").exists()


@pytest.mark.parametrize(
    ("outcome", "points"),
    [
        (Outcome.FAILED, 0),
        (Outcome.LIMIT, 0),
        (Outcome.INFRASTRUCTURE, None),
        (Outcome.COURSE, None),
        (Outcome.ABORTED, None),
        (Outcome.SUPERSEDED, None),
    ],
)
@pytest.mark.parametrize("stage", ["fetch", "execute", "collect"])
def test_a_failure_of_a_stage_stands(tmp_path: Path, stage: str, outcome: Outcome, points: float | None) -> None:
    run = make_run(tmp_path / "run", ended_early(stage, outcome, f"{stage} went wrong", hint="mend it"))
    result, page, _ = reported(run)
    assert (run.record.outcome, run.record.reason) == (outcome, f"{stage} went wrong")
    assert (result["outcome"], result["points"], run.record.points) == (outcome.value, points, points)
    assert {check["passed"] for check in result["checks"]} == {False if points == 0 else None}
    assert f"{stage} went wrong" in page


def test_a_run_without_figures_and_without_an_outcome_is_infrastructures(tmp_path: Path) -> None:
    waiting = (*stages()[:6], *(StageRecord(name=name) for name in ("execute", "collect", "report")))
    run = make_run(tmp_path / "run", record(stages=waiting))
    result, _, _ = reported(run)
    assert (result["outcome"], result["points"]) == ("infrastructure", None)
    assert "execute" in run.record.reason


def test_figures_that_cannot_be_read_are_infrastructures(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", record())
    run.figures_file.write_text('{"accuracy": "high"}')
    result, _, lines = reported(run)
    assert (result["outcome"], result["points"]) == ("infrastructure", None)
    assert any("figures.json" in line for line in lines)


def test_the_barest_record_has_a_report(tmp_path: Path) -> None:
    bare = Record(
        run="r1",
        request=Request(source="."),
        course=Course(assignments=(assignment(), assignment(name="other"))),
        settings_sha256="0" * 64,
        created=record().created,
        outcome=Outcome.ABORTED,
    )
    result, page, _ = reported(make_run(tmp_path / "run", bare))
    assert (result["assignment"], result["max_points"], result["checks"]) == (None, None, [])
    assert "Stopped" in page


def test_every_known_figure_is_either_measured_or_reported(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", record(), figures(workers=(worker(0), worker(1, cpu_s=None))))
    result, _, _ = reported(run)
    for part in (result["metrics"], *result["workers"]):
        known = {key for key, value in part.items() if value is not None}
        known -= {"worker", "measured", "reported", "late_days", "measures", "name"}
        assert set(part["measured"]) | set(part["reported"]) == known
        assert not set(part["measured"]) & set(part["reported"])
    assert {"compute_s", "communication_s", "wait_s"} <= set(result["metrics"]["reported"])
    assert {"accuracy", "cpu_s", "bytes_sent", "peak_memory_mb"} <= set(result["metrics"]["measured"])
    assert "cpu_s" not in result["workers"][1]["measured"]


def test_wild_figures_of_a_student_harm_nothing(tmp_path: Path) -> None:
    loss = tuple(
        LossPoint(version=n, seconds=float(n), loss=x) for n, x in enumerate((1e308, float("nan"), -1e308, 3.0))
    )
    wild = (worker(0, compute_s=1e308, wait_s=float("inf")), worker(1, compute_s=1e308, communication_s=-5.0))
    result, page, _ = reported(make_run(tmp_path / "run", record(), figures(loss=loss, workers=wild)))
    assert result["outcome"] == "passed"
    assert result["metrics"]["compute_s"] is None
    assert len(page) < 100_000


def test_many_workers_and_no_loss(tmp_path: Path) -> None:
    many = tuple(worker(number) for number in range(64))
    run = make_run(tmp_path / "run", record(), figures(loss=(), validation=(), intervals=(), workers=many))
    result, page, lines = reported(run)
    assert len(result["workers"]) == 64
    assert "worker 63" in page
    assert not any("no plots" in line for line in lines)
    assert not (run.plots / "loss.svg").exists()


def test_figures_of_a_run_that_failed_in_execute_are_shown_and_not_graded(tmp_path: Path) -> None:
    of = record(stages=stages("execute", "too slow"), outcome=Outcome.LIMIT, reason="too slow")
    result, page, _ = reported(make_run(tmp_path / "run", of, figures(accuracy=None)))
    assert (result["outcome"], result["points"]) == ("limit", 0)
    assert "plots/time.svg" in page


def test_passwords_in_urls_are_left_out(tmp_path: Path) -> None:
    request = Request(source="https://ada:s3cret@git.example/ada.git")
    of = ended_early(
        "fetch", Outcome.INFRASTRUCTURE, "https://ada:s3cret@git.example/ada.git: no answer", request=request
    )
    run = make_run(tmp_path / "run", of)
    result, page, lines = reported(run)
    assert result["submission"]["source"] == "https://git.example/ada.git"
    for text in (json.dumps(result), page, run.junit_file.read_text(), *lines):
        assert "s3cret" not in text


@pytest.mark.parametrize(
    ("asked", "isolation", "used"),
    [
        (Sandbox.AUTO, Isolation.NAMESPACES, "process"),
        (Sandbox.AUTO, Isolation.CONTAINER, "docker"),
        (Sandbox.AUTO, None, "auto"),
        (Sandbox.PROCESS, None, "process"),
    ],
)
def test_the_sandbox_is_the_one_that_was_used(
    tmp_path: Path, asked: Sandbox, isolation: Isolation | None, used: str
) -> None:
    of = record(request=Request(source=".", sandbox=asked), isolation=isolation)
    assert reported(make_run(tmp_path / "run", of))[0]["sandbox"] == used


def test_a_result_can_be_read_back(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", record(), figures())
    reported(run)
    read = Result.model_validate_json(run.result_file.read_bytes())
    assert (read.points, read.stages[0].status, len(read.workers)) == (100, Status.DONE, 2)


def test_no_figures_at_all_are_a_valid_file() -> None:
    assert Figures.model_validate_json(Figures().model_dump_json()) == Figures()
