"""course.toml: all faults at once with lines and hints, and where each value came from."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline.course import LoadedCourse, cache_folder, load_course
from pipeline.errors import CourseError, UsageError
from pipeline.kinds.mapreduce import MapReduceData
from pipeline.kinds.train import TrainData, TrainJob
from pipeline.practice import EXAMPLES, MNIST_TRAIN
from pipeline.settings import Assignment, BaseRecipe, Check, Course, LateRule, Limits, Servers

EXAMPLE = Path(__file__).parents[2] / "submissions_example" / "course.toml"
SMALL = """\
name = "ml"
[[assignments]]
name = "one"
passed_from = 5
opens = ["epochs"]
[[assignments.checks]]
name = "accuracy"
measure = "accuracy"
at_least = 0.9
points = 10
"""


def load(tmp_path: Path, text: str, **more: dict[str, str]) -> LoadedCourse:
    file = tmp_path / "course.toml"
    file.write_text(text)
    return load_course(file, environment=more.get("environment", {}), command_line=more.get("command_line"))


def faults(tmp_path: Path, text: str, **more: dict[str, str]) -> list[str]:
    with pytest.raises(CourseError) as caught:
        load(tmp_path, text, **more)
    assert caught.value.exit_code == 2
    return [str(fault).replace(f"{tmp_path}/", "") for fault in caught.value.faults]


def test_no_file_is_practice_with_every_key_of_the_job_open() -> None:
    course = load_course(None, environment={}).course
    assert course.practice
    assert course.assignments == EXAMPLES
    assert {"workers", "epochs", "seed"} <= course.assignments[0].opens
    assert "kind" not in course.assignments[0].opens


def test_the_example_course_grades_as_practice_does() -> None:
    course = load_course(EXAMPLE, environment={}).course
    example = course.assignments[0]
    assert not course.practice
    assert (example.name, example.job, example.checks) == (MNIST_TRAIN.name, MNIST_TRAIN.job, MNIST_TRAIN.checks)
    assert example.passed_from == MNIST_TRAIN.passed_from


def test_a_run_without_gain_cannot_pass_the_example() -> None:
    gain = next(check for check in MNIST_TRAIN.checks if check.measure == "gain")
    assert MNIST_TRAIN.max_points - gain.points < MNIST_TRAIN.passed_from <= MNIST_TRAIN.max_points


def test_every_fault_is_named_at_once_with_its_line_and_a_hint(tmp_path: Path) -> None:
    text = SMALL.replace("passed_from = 5", "passed_fro = 5\npassed_from = '5'\ndeadline = 2027-01-01T12:00:00")
    text = text.replace("at_least = 0.9", 'at_least = "0.9"').replace("points = 10", "points = nan")
    found = faults(tmp_path, text)
    assert any("course.toml:4: unknown key `passed_fro` (did you mean `passed_from`?)" in one for one in found)
    assert any(one.startswith("course.toml:5: `passed_from`") for one in found)
    assert any(one.startswith("course.toml:6: `deadline` has no time zone") for one in found)
    assert any(one.startswith("course.toml:11: `at_least`") for one in found)
    assert any(one.startswith("course.toml:12: `points`") for one in found)
    assert len(found) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("at_least = 0.9\n", ""), "needs either at_least or at_most"),
        (("at_least = 0.9\n", "at_least = 0.9\nat_most = 1.0\n"), "needs either at_least or at_most"),
        (("passed_from = 5", "passed_from = 11"), "the checks give 10 points"),
        (('["epochs"]', '["epochs", "kind"]'), "opens names kind"),
        (('["epochs"]', '["epoch"]'), "opens names epoch"),
        (
            ("passed_from = 5", "passed_from = 5\ndata = { train_rows = 59000, validation_rows = 2000 }"),
            "share 60000 rows",
        ),
        (('name = "one"', 'name = "One\\n"'), "which does not have the form"),
        (
            ("passed_from = 5", 'passed_from = 5\nextensions = [{ student = "ada" }]'),
            "names neither a deadline nor attempts",
        ),
        (
            ("passed_from = 5", 'passed_from = 5\nextensions = [{ student = "ada", deadline = 2027-01-01T12:00:00Z }]'),
            "ends before the deadline of all (there is none)",
        ),
        (
            ("passed_from = 5", 'passed_from = 5\nattempts = 3\nextensions = [{ student = "ada", attempts = 2 }]'),
            "has fewer attempts than all have (3)",
        ),
        (
            (
                "passed_from = 5",
                "passed_from = 5\nattempts = 3\n"
                'extensions = [{ student = "ada", attempts = 4 }, { student = "ada", attempts = 5 }]',
            ),
            "ada has two extensions",
        ),
        (('name = "ml"', 'name = "ml"\npractice = true'), "`practice` cannot be set"),
        (('name = "ml"', 'name = "ml"\nwheels = "nowhere"'), "which is not there"),
    ],
)
def test_rules_of_the_settings(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    found = faults(tmp_path, SMALL.replace(*change))
    assert len(found) == 1
    assert words in found[0]
    assert found[0].startswith("course.toml:")


def test_the_second_assignment_of_the_same_name_is_refused(tmp_path: Path) -> None:
    second = SMALL.removeprefix('name = "ml"\n')
    assert "two assignments have the same name" in faults(tmp_path, SMALL + second)[0]


def test_lines_are_those_of_the_right_table_of_an_array(tmp_path: Path) -> None:
    second = SMALL.removeprefix('name = "ml"\n').replace('"one"', '"two"').replace("points = 10", "point = 10")
    found = faults(tmp_path, SMALL + second)
    assert any(one.startswith("course.toml:19: unknown key `point`") for one in found)


def test_a_path_is_the_file_s_neighbour_also_in_a_table_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a\n")
    data = 'kind = "mapreduce", name = "text", text = "lines.txt", reference = "word-count"'
    kind = f'passed_from = 1\njob = {{ kind = "mapreduce" }}\ndata = {{ {data} }}'
    text = f'name = "ml"\n[[assignments]]\nname = "one"\n{kind}\n'
    text += '[[assignments.checks]]\nname = "c"\nmeasure = "correct"\nat_least = 1\npoints = 1\n'
    (assignment,) = load(tmp_path, text).course.assignments
    assert isinstance(assignment.data, MapReduceData) and assignment.data.text == tmp_path / "lines.txt"
    (fault,) = faults(tmp_path, text.replace("lines.txt", "none.txt"))
    assert fault == "course.toml:6: `text` names none.txt, which is not there"


def test_origins_and_precedence(tmp_path: Path) -> None:
    text = SMALL.replace('name = "ml"', 'name = "ml"\ncache = "here"\n')
    loaded = load(tmp_path, text)
    assert loaded.course.cache == tmp_path / "here"
    assert str(loaded.origin("cache")).endswith("course.toml:2")
    assert str(loaded.origin("assignments.0.passed_from")).endswith("course.toml:6")
    assert str(loaded.origin("servers.pool_mb")) == "default"
    environment = {"PIPELINE_CACHE": str(tmp_path / "there"), "PIPELINE_SERVERS_POOL_MB": "1024"}
    loaded = load(tmp_path, text, environment=environment)
    assert loaded.course.cache == tmp_path / "there"
    assert loaded.course.servers.pool_mb == 1024
    assert str(loaded.origin("cache")) == "environment PIPELINE_CACHE"
    loaded = load(tmp_path, text, environment=environment, command_line={"cache": str(tmp_path / "last")})
    assert loaded.course.cache == tmp_path / "last"
    assert str(loaded.origin("cache")) == "command line --cache"


def test_faults_of_environment_and_command_line_name_them(tmp_path: Path) -> None:
    environment = {"PIPELINE_CACH": "x", "PIPELINE_SERVERS_POOL_MB": "much", "PIPELINE_RUN_BY": "jenkins"}
    found = faults(tmp_path, SMALL, environment=environment, command_line={"cashe": "x"})
    assert any("PIPELINE_CACH (did you mean `PIPELINE_CACHE`?)" in one for one in found)
    assert any(one.startswith("environment PIPELINE_SERVERS_POOL_MB: `pool_mb`") for one in found)
    assert any("`cashe` (did you mean `cache`?)" in one for one in found)
    assert len(found) == 3


def test_text_that_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    assert faults(tmp_path, SMALL + "points = = 3\n")[0].startswith("course.toml:11: is not TOML")


def test_a_missing_file_is_a_fault_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_course(tmp_path / "none.toml", environment={})


BASE = "[[bases]]\nname = {}\n"
PINNED = "image = 'registry.example/torch@sha256:" + "0" * 64 + "'\n"


@pytest.mark.parametrize(
    ("bases", "words"),
    [
        (BASE.format("'a'") * 2, "two bases have the same name"),
        (BASE.format("'default'") * 2, "two bases have the same name"),
        (BASE.format("'a'") + "from_image = 'debian'\n" + PINNED, "begins with one of"),
        (BASE.format("'a'") + "image = 'registry.example/torch:latest'\n", "name@sha256:"),
        (BASE.format("'a'") + PINNED + "packages = ['numpy']\n", "has its packages already"),
        (BASE.format("'a'") + "rootfs = 'nowhere.tar'\n", "nowhere.tar, which is not there"),
    ],
)
def test_a_base_that_cannot_be_is_refused(tmp_path: Path, bases: str, words: str) -> None:
    assert any(words in fault for fault in faults(tmp_path, SMALL + bases))


def test_an_assignment_builds_on_a_base_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(b"")
    on_vision = SMALL.replace("passed_from", 'base = "vision"\npassed_from')
    assert any("builds on base 'vision'" in fault for fault in faults(tmp_path, on_vision))
    course = load(tmp_path, on_vision + BASE.format("'vision'") + "rootfs = 'root.tar'\n").course
    recipe = course.base("vision")
    assert recipe is not None and recipe.rootfs == tmp_path / "root.tar"
    assert course.base("default") is None


def test_an_extension_is_one_students_and_names_no_other(tmp_path: Path) -> None:
    extended = """deadline = 2027-01-01T12:00:00Z
attempts = 3
extensions = [{ student = "ada", deadline = 2027-01-08T12:00:00Z }, { student = "bob", attempts = 5 }]
passed_from"""
    course = load(tmp_path, SMALL.replace("passed_from", extended, 1)).course
    found = {name: course.of(name).assignments[0] for name in ("ada", "bob", "eve")}
    assert {name: (one.deadline and one.deadline.day, one.attempts) for name, one in found.items()} == {
        "ada": (8, 3),
        "bob": (1, 5),
        "eve": (1, 3),
    }
    assert not any(one.extensions for one in found.values())


def test_a_deadline_keeps_its_time_zone(tmp_path: Path) -> None:
    course = load(tmp_path, SMALL.replace("passed_from", "deadline = 2027-01-01T12:00:00+01:00\npassed_from")).course
    deadline = course.assignments[0].deadline
    assert deadline is not None
    assert deadline.utcoffset() == timedelta(hours=1)


def test_the_cache_is_the_users_where_the_course_names_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(Course(assignments=())) == tmp_path / "ml-submission-pipeline"
    assert cache_folder(Course(assignments=(), cache=tmp_path / "own")) == tmp_path / "own"


@pytest.mark.parametrize(
    "model", [Course, BaseRecipe, Assignment, TrainJob, TrainData, Check, Limits, LateRule, Servers]
)
def test_every_key_is_in_the_docs(model: type[BaseModel]) -> None:
    text = (EXAMPLE.parents[1] / "docs" / "settings.md").read_text()
    named = set(re.findall(r"`([a-z_]+)`", text)) | set(re.findall(r"assignments\.([a-z]+)\]", text))
    assert set(model.model_fields) - {"practice", "assignments", "bases", "servers"} <= named
