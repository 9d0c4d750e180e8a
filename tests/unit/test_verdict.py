"""What a build server is told of a run, and what of its folder a student gets to read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.reports import make_run, record

from pipeline.cli.app import call
from pipeline.errors import Outcome
from pipeline.run import Record
from pipeline.verdict import publish, verdict

RUN = record().run


def made(folder: Path, **changes: object) -> Path:
    of: Record = record(**{"outcome": Outcome.PASSED, "points": 95.0, **changes})  # type: ignore[arg-type]
    return make_run(folder / f"run-{len(list(folder.iterdir()))}", of).folder


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome.PASSED, "SUCCESS"),
        (Outcome.FAILED, "UNSTABLE"),
        (Outcome.LIMIT, "UNSTABLE"),
        (Outcome.INFRASTRUCTURE, "FAILURE"),
        (Outcome.COURSE, "FAILURE"),
        (Outcome.ABORTED, "ABORTED"),
        (Outcome.SUPERSEDED, "NOT_BUILT"),
    ],
)
def test_the_record_decides(outcome: Outcome, result: str, tmp_path: Path) -> None:
    folder = made(tmp_path, outcome=outcome)
    assert verdict(folder, run=RUN, code=outcome.exit_code).result == result
    assert verdict(folder).result == result


def test_the_name_holds_the_points(tmp_path: Path) -> None:
    assert verdict(made(tmp_path)).name == "ada 95 of 100 points"
    assert verdict(made(tmp_path, outcome=Outcome.LIMIT, points=None)).name == "ada limit"


@pytest.mark.parametrize("code", [1, 137, 0, 11])
def test_a_code_that_the_record_does_not_tell_of_is_infrastructure(code: int, tmp_path: Path) -> None:
    said = verdict(made(tmp_path, outcome=Outcome.FAILED, points=0.0), code=code)
    assert said.result == "FAILURE"
    assert f"code {code}" in said.description
    assert "no attempt is used up" in said.description


def test_without_a_record_of_this_run_it_is_infrastructure(tmp_path: Path) -> None:
    assert verdict(tmp_path / "nowhere").result == "FAILURE"
    assert verdict(made(tmp_path), run="another").result == "FAILURE"
    assert verdict(made(tmp_path, outcome=None)).result == "FAILURE"
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "record.json").write_text('{"version": 1')
    assert verdict(tmp_path / "torn").result == "FAILURE"


def test_a_reason_cannot_be_markup_and_is_one_short_line(tmp_path: Path) -> None:
    folder = made(tmp_path, outcome=Outcome.FAILED, reason="<script>alert(1)</script>\n\x1b[8m" + "x" * 1000)
    said = verdict(folder).description
    assert not set("<>&\n\x1b") & set(said)
    assert len(said) <= 200


def test_only_what_a_student_may_read_is_published(tmp_path: Path) -> None:
    folder = made(tmp_path)
    page = ("report.html", "report.css", "junit.xml", "result.json", "plots/loss.svg", "logs/check.log")
    for name in (*page, "model.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("of this run")
    for name in ("servers.json", "private/hidden.log", "source/model.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not for all")
    (folder / "result.json").unlink()
    (folder / "result.json").symlink_to(folder / "servers.json")
    into = tmp_path / "report"
    into.mkdir()
    (into / "old.html").write_text("of an earlier run")
    publish(folder, into)
    assert sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()) == [
        "junit.xml", "logs/check.log", "model.safetensors", "plots/loss.svg", "report.css", "report.html",
    ]  # fmt: skip


def test_the_command_answers_in_json_or_in_three_lines(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = made(tmp_path, reason="all checks passed")
    assert call(["verdict", str(folder), "--id", RUN, "--code", "0"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told == {"result": "SUCCESS", "name": "ada 95 of 100 points", "description": "all checks passed"}
    assert call(["verdict", str(folder), "--code", "", "--lines", "--publish", str(tmp_path / "report")]) == 0
    assert capfd.readouterr().out == "SUCCESS\nada 95 of 100 points\nall checks passed\n"
    assert (tmp_path / "report").is_dir()


def test_the_command_tells_of_a_missing_run_and_leaves_with_0(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(["verdict", str(tmp_path / "nowhere"), "--id", RUN]) == 0
    assert json.loads(capfd.readouterr().out)["result"] == "FAILURE"
    assert call(["verdict", str(tmp_path), "--code", "one"]) == 2
