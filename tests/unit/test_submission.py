"""submission.toml within what the assignment opens."""

from __future__ import annotations

import pytest

from pipeline.errors import Fault, UsageError
from pipeline.practice import MNIST_TRAIN, practice_course
from pipeline.settings import Assignment, Course
from pipeline.submission import chosen_assignment, read_submission, resolve_job

OPEN = MNIST_TRAIN.model_copy(update={"opens": frozenset({"epochs", "learning_rate", "mode", "batch_size"})})
OTHER = OPEN.model_copy(update={"name": "other"})
COURSE = Course(name="ml", assignments=(OPEN, OTHER))


def faults(text: str, *overrides: tuple[str, str], practice: bool = False) -> list[str]:
    job, found = resolve_job(read_submission(text.encode(), overrides), OPEN, practice=practice)
    assert (job is None) == bool(found)
    return [str(fault) for fault in found]


def test_open_keys_change_the_job_and_all_else_stays() -> None:
    job, found = resolve_job(read_submission(b"epochs = 5\nlearning_rate = 1\n"), OPEN, practice=False)
    assert found == []
    assert job == OPEN.job.model_copy(update={"epochs": 5, "learning_rate": 1.0})


def test_without_a_file_the_job_is_the_assignments() -> None:
    job, found = resolve_job(read_submission(None), OPEN, practice=False)
    assert (job, found) == (OPEN.job, [])


def test_every_fault_at_once_with_line_hint_and_nearest_key() -> None:
    text = 'assignment = "mnist-train"\nepohcs = 3\nworkers = 9\nlearning_rate = "0.1"\nbatch_size = 0\n[x]\ny = 1\n'
    found = faults(text, ("mode", "sinc"))
    assert any(one.startswith("submission.toml:2: unknown key `epohcs` (did you mean `epochs`?)") for one in found)
    assert any(one.startswith("submission.toml:3: `workers` is set by the assignment (2)") for one in found)
    assert any(one.startswith("submission.toml:4: `learning_rate`") for one in found)
    assert any(one.startswith("submission.toml:5: `batch_size` is 0") for one in found)
    assert any(one.startswith("submission.toml:6: unknown key `x`") for one in found)
    assert any(one.startswith("--set mode: `mode`") and "'async'" in one for one in found)
    assert len(found) == 6


def test_set_obeys_what_the_assignment_opens_and_wins_over_the_file() -> None:
    assert "set by the assignment" in faults("", ("workers", "4"))[0]
    submission = read_submission(b"epochs = 5", [("epochs", "7"), ("mode", "async")])
    job, _ = resolve_job(submission, OPEN, practice=False)
    assert job is not None
    assert (job.epochs, job.mode) == (7, "async")


def test_in_practice_every_key_of_the_job_is_open_but_its_kind_stays() -> None:
    job, found = resolve_job(read_submission(b"workers = 4\nthreads = 2"), OPEN, practice=True)
    assert found == []
    assert job is not None
    assert (job.workers, job.threads) == (4, 2)
    assert "kind" in faults('kind = "infer"', practice=True)[0]


@pytest.mark.parametrize("value", ["true", "2.5", "nan", "inf", "[1]", "1e400", "-1", '"2"', "9999999999999999999999"])
def test_a_value_of_another_type_or_range_is_no_number_of_epochs(value: str) -> None:
    found = faults(f"epochs = {value}")
    assert len(found) == 1
    assert found[0].startswith("submission.toml:1: `epochs` is")


@pytest.mark.parametrize("entry", ["../model.py", "a/b.py", "model.py\n", "-c.py", "a b.py", "model"])
def test_the_entry_is_a_plain_module_by_full_match(entry: str) -> None:
    submission = read_submission(None, [("entry", entry)])
    job, found = resolve_job(submission, OPEN, practice=True)
    assert job is None
    assert "`entry`" in str(found[0])


def test_a_number_out_of_its_range_is_said_with_the_bound() -> None:
    _, faults = resolve_job(read_submission(b"epochs = -1"), MNIST_TRAIN, practice=True)
    assert [str(one) for one in faults] == ["submission.toml:1: `epochs` is -1, and at least 1 is needed"]


def test_utf_16_and_bad_toml_are_named() -> None:
    job, found = resolve_job(read_submission("epochs = 3".encode("utf-16")), OPEN, practice=False)
    assert job is None
    assert "UTF-16" in str(found[0])
    assert faults("epochs = = 3")[0].startswith("submission.toml:1: is not TOML")


def name_of(found: Assignment | Fault) -> str:
    return found.name if isinstance(found, Assignment) else str(found)


def test_the_assignment_is_the_one_asked_for_then_the_one_that_the_submission_names() -> None:
    other = read_submission(b'assignment = "other"')
    assert name_of(chosen_assignment(COURSE, None, other)) == "other"
    assert name_of(chosen_assignment(COURSE, "mnist-train", other)) == "mnist-train"
    single = Course(name="ml", assignments=(OTHER,))
    assert name_of(chosen_assignment(single, None, read_submission(None))) == "other"


def test_an_assignment_that_is_not_there_is_named_with_the_nearest() -> None:
    wrong = chosen_assignment(COURSE, None, read_submission(b'assignment = "othre"'))
    assert "did you mean `other`?" in name_of(wrong)
    none = chosen_assignment(COURSE, None, read_submission(None))
    assert "mnist-train, other" in name_of(none)
    with pytest.raises(UsageError) as caught:
        chosen_assignment(COURSE, "othre", read_submission(None))
    assert "other" in caught.value.hint


def test_practice_takes_the_example_of_the_kind_whatever_assignment_is_named() -> None:
    course = practice_course()
    assert name_of(chosen_assignment(course, None, read_submission(b'assignment = "week-3"'))) == "mnist-train"
    assert "`kind`" in name_of(chosen_assignment(course, None, read_submission(b'kind = "matrices"')))


@pytest.mark.parametrize(
    ("text", "key", "what", "hint"),
    [
        ('aggregation = "allreduce"\nmode = "async"', "2", "no server", 'mode = "sync"'),
        ('aggregation = "scatterreduce"\ngradients_per_update = 4', "2", "one part of each", "update_interval"),
        ('algorithm = "model-averaging"', "1", "through the store", 'aggregation = "allreduce"'),
        ('algorithm = "easgd"', "1", "asynchronous", 'mode = "async"'),
        ('aggregation = "allreduce"\nalgorithm = "easgd"\noptimiser = "adam"', "3", "steps of SGD", '"sgd"'),
    ],
)
def test_settings_that_do_not_go_together_are_refused_with_what_would(
    text: str, key: str, what: str, hint: str
) -> None:
    (found,) = faults(text, practice=True)
    assert found.startswith(f"submission.toml:{key}: ")
    assert what in found
    assert hint in found


def test_elastic_averaging_is_asynchronous_by_the_server_and_synchronous_through_the_store() -> None:
    assert faults('algorithm = "easgd"\nmode = "async"', practice=True) == []
    assert faults('algorithm = "easgd"\naggregation = "scatterreduce"', practice=True) == []
