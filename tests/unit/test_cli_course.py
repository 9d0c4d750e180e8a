"""What staff type: a course of faulty settings, students, a lost link, what names nothing, a regrade too early."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.submissions import entry

from pipeline.cli import app
from pipeline.errors import Outcome
from pipeline.submissions.entry import State
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.regrades import regrade
from pipeline.submissions.spool import Spool
from pipeline.web.access import Visitor, staff_token, visitor_of_token

EXAMPLE = Path(__file__).resolve().parents[2] / "submissions_example" / "course.toml"


def test_a_file_with_faults_makes_no_course_and_when_it_is_mended_it_does(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, folder = tmp_path / "settings.toml", tmp_path / "course"
    settings.write_text(EXAMPLE.read_text().replace("passed_from", "pased_from"))

    assert app.call(["course", "create", str(folder), "--from", str(settings)]) == 2
    assert f"{settings}:13: unknown key `pased_from`" in capfd.readouterr().err
    assert not (folder / "course.toml").exists()

    settings.write_text(EXAMPLE.read_text())
    assert app.call(["course", "create", str(folder), "--from", str(settings)]) == 0
    assert (folder / "course.toml").read_text() == EXAMPLE.read_text()


def test_other_settings_for_a_course_that_is_there_are_not_passed_over_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, folder = tmp_path / "settings.toml", tmp_path / "course"
    create = ["course", "create", str(folder), "--from"]
    assert app.call([*create, str(EXAMPLE)]) == 0
    assert app.call([*create, str(EXAMPLE)]) == 0
    assert "stays as it was" not in capfd.readouterr().out

    settings.write_text(EXAMPLE.read_text().replace("attempts = 20", "attempts = 3"))
    assert app.call([*create, str(settings)]) == 0
    assert f"stays as it was: change it there, {settings} is not taken" in capfd.readouterr().out
    assert (folder / "course.toml").read_text() == EXAMPLE.read_text()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file or directory"), (b"\xff", "is no text in UTF-8")]
)
def test_what_is_no_file_of_settings_makes_no_course(
    content: bytes | None, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, folder = tmp_path / "settings.toml", tmp_path / "course"
    if content is not None:
        settings.write_bytes(content)
    assert app.call(["course", "create", str(folder), "--from", str(settings)]) == 2
    assert said in capfd.readouterr().err
    assert not (folder / "course.toml").exists()


def made(folder: Path) -> str:
    assert app.call(["course", "create", str(folder), "--from", str(EXAMPLE)]) == 0
    return str(folder)


def test_a_new_student_is_told_where_to_clone_from_and_where_the_pages_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert app.call(["course", "add-student", made(tmp_path / "course"), "ada"]) == 0
    said = capfd.readouterr().out
    token = next(line.split()[1] for line in said.splitlines() if line.startswith("token "))
    assert "URL/git/ada/mnist-train.git, as ada with the token as password" in said
    assert f"URL/enter/{token}\n" in said


def test_staff_who_have_lost_their_link_get_another_and_the_old_one_is_void(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "course")
    course = CourseFolder.open(tmp_path / "course")
    old = staff_token(course)
    assert old is not None
    capfd.readouterr()
    assert app.call(["course", "staff-token", folder]) == 0
    new = capfd.readouterr().out.strip()
    assert visitor_of_token(course, old) is None
    assert visitor_of_token(course, new) == Visitor(is_staff=True)


@pytest.mark.parametrize(
    ("arguments", "said", "step"),
    [
        (["queue", "retry", "DIR", "abc"], "'abc' is too short", "4 characters"),
        (["queue", "drop", "DIR", "abcd"], "no submission's id begins with 'abcd'", "pipeline queue list DIR --all"),
        (["regrade", "start", "DIR", "mnist"], "no assignment 'mnist'", "it has mnist-train"),
    ],
)
def test_what_names_nothing_is_said_with_what_there_is(
    arguments: list[str], said: str, step: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "course")
    assert app.call([folder if one == "DIR" else one for one in arguments]) == 2
    err = capfd.readouterr().err
    assert said in err
    assert step in err


def test_a_regrade_that_is_applied_too_early_says_what_is_not_done_yet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "course")
    spool = Spool(tmp_path / "course" / "spool")
    graded = {"state": State.GRADED, "outcome": Outcome.PASSED, "points": 90.0, "most_points": 100.0}
    for number in (1, 2):
        spool.add(entry("ada", number, number, **graded))
    spool.active()
    first, _ = regrade(spool, "mnist-train")
    spool.change(first.id, lambda one: one.model_copy(update=graded))
    assert app.call(["regrade", "apply", folder]) == 0
    assert "applied: 1 regrade; 1 not done yet" in capfd.readouterr().out
