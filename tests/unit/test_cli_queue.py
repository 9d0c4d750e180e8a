"""Lists for staff: what cannot be read is named, since a grade that is silently missing is nobody's."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from support.submissions import EXAMPLE, course_folder, entry

from pipeline.cli.app import call
from pipeline.errors import Outcome
from pipeline.submissions.entry import State
from pipeline.submissions.spool import Spool


@pytest.mark.parametrize("command", [["grades"], ["grades", "--csv"], ["queue", "list", "--all"], ["regrade", "show"]])
def test_a_list_says_which_files_are_missing_in_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    course = course_folder(tmp_path)
    spool = Spool(course.spool)
    for student in ("ada", "bob"):
        spool.add(entry(student, state=State.GRADED, outcome=Outcome.PASSED, points=95.0))
    spool.active()
    arguments = [*command, str(course.folder)]
    assert call(arguments) == 0
    broken = spool.over_folder / f"{entry('bob').id}.json"
    broken.write_text("{")
    capfd.readouterr()
    assert call(arguments) == Outcome.INFRASTRUCTURE.exit_code
    told = capfd.readouterr()
    assert "ada" in told.out or command == ["regrade", "show"]
    assert str(broken) in told.err
    assert "move it away" in told.err


def test_a_folder_that_cannot_be_made_or_entered_is_no_fault_of_the_pipeline(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    course = course_folder(tmp_path)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(course.spool))

    create = ["course", "create", str(tmp_path / "file" / "course"), "--from", str(EXAMPLE)]
    for command, patched in ((create, False), (["queue", "list", str(course.folder)], True)):
        if patched:
            monkeypatch.setattr(Spool, "__init__", refused)
        assert call(command) == Outcome.INFRASTRUCTURE.exit_code
        said = capfd.readouterr().err
        assert "fault of the pipeline itself" not in said
        assert "hint:" in said and "name another" in said


def test_staff_are_told_how_to_mend_a_list_of_members(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Adding students anew alone does not: the file is read first."""
    course = course_folder(tmp_path)
    course.members_file.write_text("{")
    assert call(["course", "add-student", str(course.folder), "ada"]) != 0
    assert "remove it and add each student again" in capfd.readouterr().err
    course.members_file.unlink()
    assert call(["course", "add-student", str(course.folder), "ada"]) == 0
