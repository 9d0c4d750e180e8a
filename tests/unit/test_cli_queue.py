"""Lists for staff: what cannot be read is named, since a grade that is silently missing is nobody's."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.submissions import course_folder, entry

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
