"""What staff do at the command line, several at a time as scripts do."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.submissions import EXAMPLE, course_folder

from pipeline.errors import CourseError
from pipeline.submissions.members import member_of_token, read_members
from pipeline.submissions.remotes import read_remotes
from pipeline.submissions.staff import add_student, create_course


def test_settings_that_were_mended_are_taken_the_second_time(tmp_path: Path) -> None:
    """What could not be read lies nowhere: the faults are those of the file that staff have written."""
    template = tmp_path / "settings.toml"
    template.write_text('name = "x"\noops = 3\n')
    with pytest.raises(CourseError, match=re.escape(str(template))) as refused:
        create_course(tmp_path / "course", template)
    assert {one.where for one in refused.value.faults} == {str(template)}
    template.write_text(EXAMPLE.read_text())
    assert create_course(tmp_path / "course", template).course().name == "example-course"


def test_students_who_are_added_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    course = course_folder(tmp_path)
    names = [f"student-{number}" for number in range(8)]
    assignments = [one.name for one in course.course().assignments]

    def added(name: str) -> str:
        urls = {one: f"https://git.example/{name}/{one}" for one in assignments}
        return add_student(course, name, urls=urls)[0]

    with ThreadPoolExecutor(len(names)) as pool:
        tokens = list(pool.map(added, names))
    assert sorted(read_members(course)) == names
    found = [member_of_token(course, token) for token in tokens]
    assert [one.name for one in found if one is not None] == names
    assert len(read_remotes(course)) == len(names) * len(assignments)
