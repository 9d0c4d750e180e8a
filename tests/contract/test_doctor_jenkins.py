"""What `pipeline doctor` says of the Jenkins that a course names: right, wrong token, away, without its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.jenkins_bench import Bench, opened
from typer.testing import CliRunner

from pipeline.cli import doctor
from pipeline.cli.app import command_line
from pipeline.cli.findings import Finding, State
from pipeline.cli.jenkins_findings import jenkins_findings


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with opened(tmp_path) as made:
        yield made


def found(bench: Bench) -> list[Finding]:
    return jenkins_findings(bench.course.course(), bench.folder)


def test_a_course_without_jenkins_is_asked_for_nothing(bench: Bench) -> None:
    (bench.folder / "jenkins.toml").unlink()
    assert found(bench) == []


def test_jobs_that_are_missing_are_named_with_what_makes_them(bench: Bench) -> None:
    (bench.folder / "token").chmod(0o600)
    first, *weak = found(bench)
    assert (first.state, first.todo) == (State.NOTE, f"`pipeline jenkins sync {bench.folder}`")
    assert "4 to create" in first.detail
    bench.sync()
    assert found(bench)[0].state is State.OK
    assert [one.detail for one in weak] == ["anybody in between could read the bot's token"]


def test_a_token_that_others_may_read_is_named_and_never_shown(bench: Bench) -> None:
    (bench.folder / "token").chmod(0o644)
    assert f"chmod 600 {bench.folder / 'token'}" in [one.todo for one in found(bench)]
    assert "bot-token" not in str(found(bench))


def test_a_wrong_token_a_server_that_is_away_and_a_faulty_file_say_what_to_do(bench: Bench) -> None:
    (bench.folder / "token").write_text("another\n")
    (refused,) = found(bench)
    assert (refused.state, "token" in refused.todo) == (State.MISSING, True)
    (bench.folder / "students.csv").write_text("name,emial\nada,\n")
    (faulty,) = found(bench)
    assert (faulty.state, "students.csv:1" in faulty.detail) == (State.MISSING, True)
    (bench.folder / "students.csv").write_text("name\nada\n")
    bench.server.close()
    (away,) = found(bench)
    assert (away.state, "cannot be reached" in away.detail) == (State.MISSING, True)


def test_doctor_asks_it_where_the_course_names_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "findings", lambda online: [])
    asked = CliRunner().invoke(command_line(), ["doctor", "--course", str(bench.folder / "course.toml"), "--json"])
    assert asked.exit_code == 0, asked.output
    assert "Jenkins" in [one["name"] for one in json.loads(asked.stdout)]
