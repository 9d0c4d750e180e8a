"""The command line at its edges: wrong input, faults of ours, readers that go, what exit codes say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.cli import app, doctor, runs
from pipeline.cli.findings import Finding, State
from pipeline.cli.output import Output
from pipeline.errors import (
    AbortedError,
    CourseError,
    Fault,
    InfrastructureError,
    LimitError,
    PipelineError,
    SubmissionError,
    UsageError,
)

PIPELINE = [sys.executable, "-m", "pipeline"]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["rnu"], "'run'", "`pipeline --help`"),
        (["run"], "missing argument", "`pipeline run --help`"),
        (["run", ".", "--studnt", "a"], "--student", "`pipeline run --help`"),
        (["run", ".", "--sandbox", "jail"], "'jail' is not one of 'auto', 'process', 'docker'", "--help"),
        (["run", ".", "--course", "nowhere.toml"], "nowhere.toml", "--course"),
        (["resume", "nowhere"], "nowhere is no run's folder", "--out"),
        (["run", "nowhere"], "nowhere is no folder", "a folder or a git URL"),
        (["check", "nowhere/model.py"], "nowhere/model.py is no folder", "a folder or a git URL"),
        (["init", "my-submission"], "there is no kind 'my-submission'", "--into"),
        (["parameter-server"], "no worker could register", "--token-file"),
        (["parameter-server", "--open", "--master-addr", "0.0.0.0"], "", "loopback"),
        (["parameter-server", "--config", "nowhere.json"], "nowhere.json", ""),
        (["data", "split", "--out", "o", "--shards", "0"], "--shards", "--help"),
        (["data", "put", "nothing"], "no store is named", "--endpoint"),
        (["data", "put", "nothing", "--servers", "nowhere.json"], "nowhere.json", "pipeline serve"),
    ],
)
def test_wrong_usage_is_one_error_with_what_to_do(
    arguments: list[str], said: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert app.call(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    error, *rest = lines(err)
    assert error.startswith("error: ")
    assert said in error
    assert hint in "".join(rest)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "named"), [([], "experiment"), (["queue"], "retry"), (["regrade"], "discard"), (["base"], "build")]
)
def test_whoever_names_no_command_sees_which_there_are_in_lines(
    arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert app.call(arguments) == 2
    out, err = capfd.readouterr()
    assert [line for line in out.splitlines() if line.startswith(f"  {named} ")]
    assert err == ""


def test_every_wrong_setting_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.call(["run", ".", "--set", "epochs", "--set", "=3", "--set", "seed=1"]) == 2
    err = capfd.readouterr().err
    assert "--set epochs: is not KEY=VALUE" in err
    assert "--set =3: is not KEY=VALUE" in err
    assert "seed" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, 2),
        (CourseError, 2),
        (InfrastructureError, 3),
        (SubmissionError, 10),
        (LimitError, 11),
        (AbortedError, 130),
    ],
)
def test_an_error_says_all_faults_and_leaves_with_its_code(
    error: type[PipelineError], code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        faults = [Fault("a.toml", "is \x1b[31mwrong", "do this", 3), Fault("b.toml", "is worse")]
        raise error("two things are wrong", hint="mend them", faults=faults)

    monkeypatch.setattr(runs, "begin", fail)
    assert app.call(["run", "."]) == code
    err = capfd.readouterr().err
    assert lines(err) == [
        "error: two things are wrong",
        "  a.toml:3: is wrong (do this)",
        "  b.toml: is worse",
        "  hint: mend them",
    ]


def test_a_fault_of_ours_is_one_line_and_a_kept_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("who knows")

    monkeypatch.setattr(runs, "begin", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert app.call(["run", "."]) == 3
    out, err = capfd.readouterr()
    assert lines(err)[0] == "error: a fault of the pipeline itself: KeyError: 'who knows'"
    assert "Traceback" not in out + err
    (kept,) = tmp_path.glob("pipeline-fault-*.log")
    assert str(kept) in err
    assert "Traceback" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_ctrl_c_is_an_abort(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "begin", interrupted)
    assert app.call(["run", "."]) == 130
    assert "Traceback" not in capfd.readouterr().err


def test_a_reader_that_goes_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        console = Output(file=stream)
        console.print("nobody reads this")
        console.print("nor this")


def test_a_pipe_that_closes_early_leaves_no_noise() -> None:
    command = [sys.executable, "-m", "pipeline.cli.reference"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_commands_complete_in_a_shell() -> None:
    asked = {"_PIPELINE_COMPLETE": "complete_bash", "COMP_WORDS": "pipeline re", "COMP_CWORD": "1"}
    answer = subprocess.run(PIPELINE, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert answer.stdout.split() == ["render", "resume", "regrade"]


def test_version_and_help_start_fast_without_the_heavy_libraries() -> None:
    script = "import sys; from pipeline.cli.app import call; call(['--version']); print(*sorted(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("pipeline 0.")
    assert not {"torch", "matplotlib", "aiohttp", "flask"} & set(answer.stdout.split())


def test_doctor_tells_a_program_the_same_as_a_person(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = [Finding("git", State.MISSING, "is not on PATH", "install it"), Finding("disk", State.OK, "9 GB free")]
    monkeypatch.setattr(doctor, "findings", lambda *, online: found)
    assert app.call(["doctor"]) == 3
    assert lines(capfd.readouterr().out) == [
        "missing  git         is not on PATH; install it",
        "ok       disk        9 GB free",
    ]
    assert app.call(["doctor", "--json"]) == 3
    assert json.loads(capfd.readouterr().out)[0] == {
        "name": "git",
        "state": "missing",
        "detail": "is not on PATH",
        "todo": "install it",
    }
