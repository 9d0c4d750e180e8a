"""What staff type while a course goes on: a new assignment, a move, a student who leaves, a lost link."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pushes import Clone, clone_of_ada, course_of_ada, spooled
from support.submissions import EXAMPLE, ScriptedBuilds, entry
from typer.testing import CliRunner

from pipeline.cli.app import command_line
from pipeline.errors import UsageError
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import member_of_token
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student, found
from pipeline.web.access import staff_token
from pipeline.web.app import create_app

KEY = f"ssh-ed25519 {'A' * 68} ada@home"


@pytest.fixture
def course(tmp_path: Path) -> CourseFolder:
    return course_of_ada(tmp_path)


def typed(*words: str | Path) -> str:
    """Standard output of `pipeline course WORDS`, which must end well."""
    result = CliRunner().invoke(command_line(), ["course", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_assignment_that_comes_later_changes_nobodys_token(course: CourseFolder) -> None:
    token, _ = add_student(course, "bob", urls={"mnist-train": "https://git.example/bob/mnist"})
    text = EXAMPLE.read_text().split("[[assignments]]", 1)
    course.course_file.write_text("[[assignments]]".join([*text, text[1].replace('"mnist-train"', '"second"')]))
    typed("create", course.folder)
    assert all(course.repository(name, "second").is_dir() for name in ("ada", "bob"))
    assert not course.repository("bob", "mnist-train").exists(), "it lies with a forge"
    member = member_of_token(course, token)
    assert member is not None and member.name == "bob"


def test_an_extension_of_nobody_is_named(course: CourseFolder) -> None:
    with course.course_file.open("a") as file:
        file.writelines(f'[[assignments.extensions]]\nstudent = "{name}"\nattempts = 30\n' for name in ("ada", "adda"))
    said = typed("create", course.folder)
    assert "extension of adda, and no student" in said
    assert "extension of ada," not in said


def test_a_course_that_was_moved_takes_pushes(course: CourseFolder, tmp_path: Path) -> None:
    moved = CourseFolder(course.folder.rename(tmp_path / "elsewhere"))
    clone = clone_of_ada(moved, tmp_path)
    clone.commit("x = 1\n")
    assert "is no course's folder" in clone.push(check=False)
    typed("create", moved.folder)
    assert "submission" in clone.push()
    assert len(spooled(moved)) == 1


def test_a_new_course_needs_settings(tmp_path: Path) -> None:
    result = CliRunner().invoke(command_line(), ["course", "create", str(tmp_path / "new")])
    assert isinstance(result.exception, UsageError)
    assert "--from" in result.exception.hint


def test_who_leaves_is_let_in_no_more_and_keeps_the_grades(course: CourseFolder, tmp_path: Path) -> None:
    token, _ = add_student(course, "ada", (KEY,))
    clone = Clone(tmp_path / "clone", course.repository("ada", "mnist-train"))
    clone.commit("x = 1\n")
    clone.push()
    assert KEY in typed("keys", course.folder)
    typed("remove-student", course.folder, "ada")
    assert typed("keys", course.folder) == ""
    assert member_of_token(course, token) is None
    assert "1 submissions" in typed("list", course.folder)
    again = CliRunner().invoke(command_line(), ["course", "remove-student", str(course.folder), "ada"])
    assert isinstance(again.exception, UsageError)


def test_staff_who_lost_their_link_get_another(course: CourseFolder) -> None:
    lost = staff_token(course)
    browser = create_app(course, ScriptedBuilds()).test_client()
    renewed = typed("staff-token", course.folder).strip()
    assert browser.get(f"/enter/{lost}").status_code == 404
    assert browser.get(f"/enter/{renewed}").status_code == 302
    assert browser.get("/course").status_code == 200


def test_a_submission_is_named_by_the_beginning_of_its_id(course: CourseFolder) -> None:
    spool, one = Spool(course.spool), entry("ada")
    spool.add(one)
    assert found(spool, one.id[:4]) == one
    with pytest.raises(UsageError, match="too short"):
        found(spool, one.id[:3])
    with pytest.raises(UsageError, match="no submission's id begins with 'zzzz'"):
        found(spool, "zzzz")
