"""`pipeline run` and its parts: the outcome decides the exit code, JSON stands alone on standard output."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.reports import ended_early, make_run

from pipeline import flow
from pipeline.cli import begin, runs
from pipeline.cli.app import call
from pipeline.cli.output import output
from pipeline.cli.summary import show_summary
from pipeline.errors import USAGE_EXIT_CODE, Outcome
from pipeline.kinds.train import TrainJob
from pipeline.listener import Listener
from pipeline.practice import MNIST_TRAIN
from pipeline.run import STAGE_NAMES, Checked, Record, Request, Run, StageRecord, Status
from pipeline.settings import Course
from pipeline.stages.report import report


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(request: Request, folder: Path) -> Run:
        record = Record(
            run="r1",
            request=request,
            course=Course(assignments=(MNIST_TRAIN,), practice=True),
            settings_sha256="0" * 64,
            created=datetime.now(UTC),
        )
        return Run.create(folder, record)

    monkeypatch.setattr(runs, "begin", begun)
    monkeypatch.setattr(runs, "backends_of", lambda run: None)


def ends(outcome: Outcome | None, **changes: Any) -> Any:
    """A walk that does nothing but end so."""

    def walk(run: Run, backends: object, listener: Listener) -> Outcome | None:
        listener.stage_started("check")
        listener.stage_ended(StageRecord(name="check", status=Status.DONE, seconds=1))
        run.update(outcome=outcome, **changes)
        return outcome

    return walk


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_outcome_is_the_exit_code(outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "resume", ends(outcome, reason="why"))
    assert call(["run", ".", "--out", str(tmp_path / "run")]) == outcome.exit_code


def test_a_failed_run_says_reason_faults_hint_and_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = {"reason": "2 faults", "hint": "mend them", "faults": ("a.toml:1: is \x1b[1mwrong", "b.py:2: no")}
    monkeypatch.setattr(flow, "resume", ends(Outcome.FAILED, **changes))
    assert call(["run", ".", "--out", str(tmp_path / "run")]) == 10
    shown = capfd.readouterr().out
    for words in ("failed: 2 faults", "a.toml:1: is wrong", "b.py:2: no", "hint: mend them", str(tmp_path / "run")):
        assert words in shown
    assert "\x1b" not in shown


def test_what_can_be_gone_on_with_is_a_command_with_the_runs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stopped = ends(Outcome.ABORTED, reason="stopped by SIGINT", hint="`pipeline resume` goes on with it")
    monkeypatch.setattr(flow, "resume", stopped)
    monkeypatch.chdir(tmp_path)
    assert call(["run", ".", "--out", "my runs/first"]) == 130
    assert "hint: `pipeline resume 'my runs/first'` goes on with it" in capfd.readouterr().out


def test_the_only_fault_is_said_once_where_the_reason_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = {"reason": "1 fault in the submission: a.toml:1: is wrong", "faults": ("a.toml:1: is wrong",)}
    monkeypatch.setattr(flow, "resume", ends(Outcome.FAILED, **changes))
    assert call(["run", ".", "--out", str(tmp_path / "run")]) == 10
    assert capfd.readouterr().out.count("a.toml:1: is wrong") == 1


def test_a_reason_is_said_once_and_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number, reason in enumerate(("stopped by SIGINT", "a reason that is longer than a line, " * 8 + "and its end")):
        run = make_run(tmp_path / str(number), ended_early("execute", Outcome.ABORTED, reason, hint="do this"))
        report(run, None, lambda _: None)  # type: ignore[arg-type]  # the report needs no backend
        show_summary(output(), run)
        shown = capfd.readouterr().out
        assert shown.count(reason) == 1
        assert "hint: do this" in shown


@pytest.mark.parametrize("command", ["run", "resume"])
def test_json_stands_alone_on_standard_output(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flow, "resume", ends(Outcome.LIMIT, reason="too long"))
    folder = tmp_path / "run"
    arguments = ["run", ".", "--out", str(folder)]
    if command == "resume":
        call(arguments)
        arguments = ["resume", str(folder)]
        capfd.readouterr()
    assert call([*arguments, "--json"]) == 11
    out, err = capfd.readouterr()
    assert json.loads(out)["reason"] == "too long"
    assert "check" in err


def test_a_run_is_never_begun_over_another(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "record.json").write_text("{}")
    assert call(["run", ".", "--out", str(tmp_path)]) == 2
    assert "pipeline resume" in capfd.readouterr().err
    assert (tmp_path / "record.json").read_text() == "{}"


def test_the_first_stage_needs_a_source_and_others_need_a_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(["stage", "fetch", "--out", str(tmp_path)]) == 2
    assert "pipeline stage fetch SOURCE" in capfd.readouterr().err
    assert call(["stage", "check", "--out", str(tmp_path)]) == 2
    assert "record.json" in capfd.readouterr().err


def test_a_stage_tells_a_program_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def one(name: str, run: Run, backends: object, listener: Listener) -> None:
        run.update_stage(StageRecord(name=name, status=Status.DONE, seconds=0.5, reason=""))

    monkeypatch.setattr(flow, "stage", one)
    folder = str(tmp_path / "run")
    assert call(["stage", "fetch", ".", "--out", folder, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told == {"run": "r1", "name": "fetch", "status": "done", "seconds": 0.5, "reason": "", "outcome": None}


def test_check_lists_what_would_be_installed_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    walked = []

    def one(name: str, run: Run, backends: object, listener: Listener) -> None:
        walked.append((name, run.folder))
        checked = Checked(
            assignment=MNIST_TRAIN, job=TrainJob(), lock_sha256="0" * 64, locked=("six==1.17.0",), notes=("a note",)
        )
        run.update(checked=checked)

    monkeypatch.setattr(flow, "stage", one)
    assert call(["check", "."]) == 0
    assert "six==1.17.0" in capfd.readouterr().out
    assert [name for name, _ in walked] == list(STAGE_NAMES[:2])
    assert call(["check", ".", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["outcome"], told["locked"], told["notes"]) == ("passed", ["six==1.17.0"], ["a note"])
    assert not any(folder.exists() for _, folder in walked)


SUBMISSION = ("--id", "0" * 32, "--arrived", "2027-01-01T12:00:00+01:00", "--attempt", "3", "--student", "ada")


@pytest.fixture
def stages_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The real beginning of a run; stages that only note that they were asked for."""
    asked: list[str] = []
    monkeypatch.setattr(flow, "stage", lambda name, *_: asked.append(name))
    monkeypatch.setattr(runs, "begin", begin.begin)
    return asked


def test_the_same_submission_is_gone_on_with(tmp_path: Path, stages_asked: list[str]) -> None:
    folder = str(tmp_path / "run")
    assert call(["stage", "fetch", ".", "--out", folder, *SUBMISSION]) == 0
    first = Run.open(Path(folder)).record
    assert (first.run, first.request.attempt, first.request.student) == ("0" * 32, 3, "ada")
    assert first.request.arrived == datetime(2027, 1, 1, 11, tzinfo=UTC)
    assert call(["stage", "fetch", ".", "--out", folder, *SUBMISSION]) == 0
    assert Run.open(Path(folder)).record == first
    assert stages_asked == ["fetch", "fetch"]


@pytest.mark.parametrize(
    "changed",
    [("--id", "1" * 32), ("--student", "bob"), ("--arrived", "2027-01-02T12:00:00+01:00")],
)
def test_a_folder_of_another_submission_is_refused(
    changed: tuple[str, str], tmp_path: Path, stages_asked: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "run")
    call(["stage", "fetch", ".", "--out", folder, *SUBMISSION])
    first = Run.open(Path(folder)).record
    assert call(["stage", "fetch", ".", "--out", folder, *SUBMISSION, *changed]) == 2
    assert "another submission" in capfd.readouterr().err
    assert Run.open(Path(folder)).record == first
    assert stages_asked == ["fetch"]


def test_an_attempt_that_others_used_up_meanwhile_changes_its_number(tmp_path: Path, stages_asked: list[str]) -> None:
    folder = str(tmp_path / "run")
    call(["stage", "fetch", ".", "--out", folder, *SUBMISSION])
    assert call(["stage", "fetch", ".", "--out", folder, *SUBMISSION, "--attempt", "4"]) == 0
    assert Run.open(Path(folder)).record.request.attempt == 4
    Run.open(Path(folder)).update(outcome=Outcome.FAILED)
    assert call(["stage", "fetch", ".", "--out", folder, *SUBMISSION, "--attempt", "5"]) == 0
    assert Run.open(Path(folder)).record.request.attempt == 4


@pytest.mark.parametrize(
    ("option", "value"),
    [("--id", "../other"), ("--id", "A"), ("--id", "-a"), ("--id", "a" * 64), ("--arrived", "2027-01-01T12:00:00"),
     ("--arrived", "yesterday"), ("--attempt", "0")],
)  # fmt: skip
def test_ids_times_and_attempts_have_a_form(option: str, value: str, tmp_path: Path, stages_asked: list[str]) -> None:
    arguments = [*SUBMISSION, f"{option}={value}"]
    assert call(["stage", "fetch", ".", "--out", str(tmp_path / "run"), *arguments]) == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", [None, "{"])
def test_a_folder_that_is_no_runs_is_refused_with_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str | None
) -> None:
    if text is not None:
        (tmp_path / "record.json").write_text(text)
    for command in ("resume", "cancel"):
        assert call([command, str(tmp_path)]) == USAGE_EXIT_CODE
        assert "hint:" in capfd.readouterr().err
