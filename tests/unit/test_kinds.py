"""Kinds of job: what a course may say of each, and what is refused with the line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.course import load_course
from pipeline.errors import CourseError
from pipeline.jobs import KINDS, kind
from pipeline.kinds import TRAITS
from pipeline.practice import EXAMPLES
from pipeline.settings import Course
from pipeline.submission import read_submission, resolve_job

FUNCTION = """
name = "labs"
[[assignments]]
name = "sum"
passed_from = 1
[assignments.job]
kind = "function"
[assignments.data]
kind = "function"
[[assignments.data.cases]]
name = "two"
input = { numbers = [1, 1] }
expected = { sum = 2 }
points = 3
"""


INFER = """
name = "labs"
[[assignments]]
name = "digits"
passed_from = 1
opens = ["concurrency"]
[assignments.job]
kind = "infer"
concurrency = [1, 8]
[assignments.data]
kind = "infer"
[[assignments.checks]]
name = "speed"
measure = "throughput_8"
at_least = 4
points = 1
"""


def course(tmp_path: Path, text: str) -> Course:
    file = tmp_path / "course.toml"
    file.write_text(text)
    return load_course(file, environment={}).course


def faults(tmp_path: Path, text: str) -> str:
    with pytest.raises(CourseError) as caught:
        course(tmp_path, text)
    return "\n".join(map(str, caught.value.faults))


def test_each_case_is_a_check_with_its_points(tmp_path: Path) -> None:
    (assignment,) = course(tmp_path, FUNCTION).assignments
    assert [(check.name, check.measure, check.points) for check in assignment.graded] == [("two", "case:two", 3)]
    assert assignment.max_points == 3


def test_checks_may_stand_beside_the_cases(tmp_path: Path) -> None:
    beside = '[[assignments.checks]]\nname = "time"\nmeasure = "seconds"\nat_most = 3\npoints = 1\n'
    assert course(tmp_path, FUNCTION + beside).assignments[0].max_points == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("expected = ", "expectd = ", "course.toml:13: unknown key `expectd` (did you mean `expected`?)"),
        ("expected = { sum = 2 }", "", "case 'two' needs `expected`"),
        ("expected = { sum = 2 }", 'compare = "predicate"', "`predicate` names a function"),
        ("expected = { sum = 2 }", 'compare = "predicate"\npredicate = "sums"', "names no file with one"),
        ('[assignments.data]\nkind = "function"', '[assignments.data]\nkind = "train"', "unknown key `cases`"),
        ('kind = "function"\n[assignments.data]', 'kind = "functoin"\n[assignments.data]', "'train', 'function'"),
        ("passed_from = 1", "passed_from = 9", "the checks give 3 points"),
    ],
)
def test_faults_are_named_with_line_and_hint(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in FUNCTION
    assert said in faults(tmp_path, FUNCTION.replace(old, new, 1))


def test_a_measure_that_the_kind_does_not_have_is_refused_with_the_nearest(tmp_path: Path) -> None:
    wrong = '[[assignments.checks]]\nname = "a"\nmeasure = "accuracy"\nat_least = 1\npoints = 1\n'
    assert "which no function has" in faults(tmp_path, FUNCTION + wrong)


def test_a_throughput_that_its_job_does_not_measure_is_refused_by_course_and_by_check(tmp_path: Path) -> None:
    said = faults(tmp_path, INFER.replace('"throughput_8"', '"throughput_16"'))
    assert "'throughput_16'; measured are throughput_1, throughput_8: let `concurrency` name 16 too" in said
    (assignment,) = course(tmp_path, INFER).assignments
    job, found = resolve_job(read_submission(b"concurrency = [1, 4]\n", ()), assignment, practice=False)
    assert job is None
    assert "submission.toml:1: check 'speed' is on `throughput_8`" in str(found[0])
    assert "let `concurrency` name 8 too" in str(found[0])
    assert resolve_job(read_submission(b"concurrency = [4, 8]\n", ()), assignment, practice=False)[0] is not None


def test_data_of_another_kind_than_the_job_are_refused(tmp_path: Path) -> None:
    said = faults(tmp_path, FUNCTION.replace('[assignments.job]\nkind = "function"\n', ""))
    assert 'write kind = "train" into its data too' in said


def test_a_folder_of_objects_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = faults(
        tmp_path, FUNCTION.replace("[[assignments.data.cases]]", 'objects = "nowhere"\n[[assignments.data.cases]]')
    )
    assert "`objects` names" in said


def test_every_kind_has_a_job_an_example_and_can_be_written_down_and_read_again() -> None:
    assert set(KINDS) == set(TRAITS) == {example.job.kind for example in EXAMPLES}
    for name in KINDS:
        assert kind(name).execute
    whole = Course(name="all", assignments=EXAMPLES)
    assert Course.model_validate_json(whole.model_dump_json(), strict=True) == whole
