"""check: what it leaves, what it says of the entry file, and when a submission comes too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.stages import new_run, submission, walk

from pipeline.beginning import new_record
from pipeline.errors import CourseError, SubmissionError, UsageError
from pipeline.practice import MNIST_TRAIN, practice_course
from pipeline.run import Record, Request, Run
from pipeline.settings import Assignment, Course, Isolation, LateRule

DEADLINE = datetime(2027, 1, 1, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[2] / "submissions_example" / "course.toml"


def checked(folder: Path, source: Path, *, course: Course | None = None, **request: object) -> Run:
    run = new_run(folder / "run", source, course=course, **request)
    walk(run, "fetch", "check")
    return run


def graded(**changes: object) -> Course:
    assignment: Assignment = MNIST_TRAIN.model_copy(update={"least_isolation": Isolation.NONE, **changes})
    return Course(name="ml", assignments=(assignment,))


def fault(folder: Path, source: Path, **request: object) -> str:
    with pytest.raises(SubmissionError) as caught:
        checked(folder, source, **request)
    assert len(caught.value.faults) == 1
    return str(caught.value.faults[0])


def test_it_leaves_the_job_and_an_empty_lock(tmp_path: Path) -> None:
    source = submission(tmp_path / "source", submission__toml="epochs = 7", requirements__txt="torch\nnumpy\n")
    run = checked(tmp_path, source, overrides=(("seed", "5"),))
    found = Run.open(run.folder).record.checked
    assert found is not None
    assert (found.job.epochs, found.job.seed, found.locked, found.notes) == (7, 5, (), ())
    assert run.requirements_lock.read_text() == ""


@pytest.mark.parametrize(
    "model",
    [
        "def build_model(): ...",
        "build_model = lambda: None",
        "from net import build_model",
        "from net import *",
        "import net as build_model",
        "try:\n    import fast\nexcept ImportError:\n    def build_model(): ...",
        "if True:\n    class build_model: ...",
    ],
)
def test_the_entry_file_defines_what_the_job_calls(tmp_path: Path, model: str) -> None:
    assert checked(tmp_path, submission(tmp_path / "source", model__py=model, net__py="")).record.checked is not None


@pytest.mark.parametrize("model", ["", "def build(): ...", "def f():\n    def build_model(): ...", "x = 'build_model'"])
def test_an_entry_file_without_it_is_named(tmp_path: Path, model: str) -> None:
    assert fault(tmp_path, submission(tmp_path / "source", model__py=model)).startswith(
        "model.py: does not define `build_model`"
    )


def test_a_missing_entry_file_is_named_with_what_is_there(tmp_path: Path) -> None:
    source = submission(tmp_path / "source", main__py="")
    (source / "model.py").unlink()
    assert "main.py" in fault(tmp_path, source)
    assert checked(
        tmp_path / "b", submission(source, main__py="def build_model(): ..."), overrides=(("entry", "main.py"),)
    )


def test_too_little_isolation_is_said_with_what_gives_more(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="asks for isolation container, and this run has none") as caught:
        checked(tmp_path, submission(tmp_path / "source"), course=graded(least_isolation=Isolation.CONTAINER))
    assert "--sandbox docker" in caught.value.hint


def test_settings_that_cannot_be_read_do_not_make_another_kinds_file_missing(tmp_path: Path) -> None:
    source = submission(tmp_path / "source", submission__toml="kind = function", main__py="def main(params): ...")
    (source / "model.py").unlink()
    assert fault(tmp_path, source).startswith("submission.toml:1: is not TOML")


def test_an_unknown_key_of_set_is_told_as_the_option_it_came_by(tmp_path: Path) -> None:
    said = fault(tmp_path, submission(tmp_path / "source"), overrides=(("epohcs", "3"),))
    assert said == "--set epohcs: unknown key `epohcs` (did you mean `epochs`?)"


@pytest.mark.parametrize(
    ("late", "arrived", "accepted"),
    [
        (LateRule(), DEADLINE, True),
        (LateRule(), DEADLINE + timedelta(seconds=1), False),
        (LateRule(days=2), DEADLINE + timedelta(days=2), True),
        (LateRule(days=2), DEADLINE + timedelta(days=2, seconds=1), False),
    ],
)
def test_the_deadline_and_its_late_days(tmp_path: Path, late: LateRule, arrived: datetime, accepted: bool) -> None:
    source, course = submission(tmp_path / "source"), graded(deadline=DEADLINE, late=late)
    if accepted:
        assert checked(tmp_path, source, course=course, arrived=arrived).record.checked is not None
        return
    with pytest.raises(SubmissionError, match=r"arrived .* after 2027-01-0[13]") as caught:
        checked(tmp_path, source, course=course, arrived=arrived)
    assert DEADLINE.isoformat() in caught.value.hint


def test_a_run_has_the_deadline_and_the_attempts_of_its_student(tmp_path: Path) -> None:
    source, file = submission(tmp_path / "source"), tmp_path / "course.toml"
    text = EXAMPLE.read_text().replace("2099-01-31", "2020-01-31").replace('"namespaces"', '"none"')
    extension = '[[assignments.extensions]]\nstudent = "ada"\ndeadline = 2027-01-01T00:00:00Z\nattempts = 30\n'
    file.write_text(f"{text}\n{extension}")

    def record(student: str) -> Record:
        values = {"student": student, "arrived": DEADLINE, "attempt": 21, "course_file": file}
        return new_record(Request(source=str(source), **values))

    run = Run.create(tmp_path / "ada", record("ada"))
    walk(run, "fetch", "check")
    assert run.record.checked is not None
    late = Run.create(tmp_path / "bob", record("bob"))
    with pytest.raises(SubmissionError, match="after 2020-02-02"):
        walk(late, "fetch", "check")


def test_practice_is_never_late_and_has_no_last_attempt(tmp_path: Path) -> None:
    assignment = MNIST_TRAIN.model_copy(update={"deadline": DEADLINE, "attempts": 1})
    course = practice_course().model_copy(update={"assignments": (assignment,)})
    late = {"arrived": DEADLINE + timedelta(days=9), "attempt": 5}
    assert checked(tmp_path, submission(tmp_path / "source"), course=course, **late).record.checked is not None


def test_an_attempt_too_many_is_refused(tmp_path: Path) -> None:
    source, course = submission(tmp_path / "source"), graded(attempts=3)
    assert checked(tmp_path / "a", source, course=course, attempt=3).record.checked is not None
    with pytest.raises(SubmissionError, match="attempt 4"):
        checked(tmp_path / "b", source, course=course, attempt=4)


def test_files_that_students_push_to_such_systems_are_told_to_be_unused(tmp_path: Path) -> None:
    run = checked(tmp_path, submission(tmp_path / "source", Dockerfile="FROM x", start__sh=""))
    assert run.record.checked is not None
    assert [note.split(":")[0] for note in run.record.checked.notes] == [
        "Dockerfile is not used",
        "start.sh is not used",
    ]


def test_check_comes_after_fetch(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", submission(tmp_path / "source"))
    with pytest.raises(UsageError, match="fetch"):
        walk(run, "check")
