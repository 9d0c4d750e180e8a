"""Locks of wheels against a base, from an index on loopback: nothing here reaches another machine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.wheels import make_wheel, serve_index

from pipeline.backends.images import Base
from pipeline.errors import InfrastructureError, SubmissionError
from pipeline.locks import Lock, lock
from pipeline.package_tool import PackageTool
from pipeline.practice import MNIST_TRAIN
from pipeline.requirements import Requirements, read_requirements
from pipeline.settings import Assignment, Course

BASE = Base(
    name="default",
    digest="sha256:" + "0" * 64,
    python_version="3.11.0",
    packages={"torch": "2.13.0+cpu", "numpy": "2.4.6"},
)
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture(autouse=True)
def no_retries_and_no_other_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """alpha needs beta and torch, gamma an old numpy; numpy is what the probe asks for."""
    folder = tmp_path / "index"
    make_wheel(folder, "alpha", requires=["beta", "torch>=2"])
    make_wheel(folder, "beta")
    make_wheel(folder, "gamma", requires=["numpy<2"])
    make_wheel(folder, "numpy", "1.0")
    with serve_index(folder) as address:
        yield address


def locked(text: str, tmp_path: Path, index: str | None, **changes: object) -> Lock:
    assignment = MNIST_TRAIN.model_copy(update={"index": index, **changes})
    tool = PackageTool.of(Course(assignments=(assignment,)), assignment, tmp_path)
    return lock(requirements(text), BASE, assignment, tmp_path, tool)


def requirements(text: str) -> Requirements:
    return read_requirements(text.encode(), BASE.packages)


@pytest.mark.parametrize("text", ["", "torch\nnumpy==2.4.6", "torch\nalpha ; python_version < '3'"])
def test_what_the_base_has_needs_no_lock_and_no_index(text: str, tmp_path: Path) -> None:
    found = locked(text, tmp_path, NOWHERE)
    assert (found.text, found.packages) == ("", ())


def test_a_lock_is_pinned_and_hashed_and_leaves_out_the_base(tmp_path: Path, index: str) -> None:
    found = locked("alpha\n", tmp_path, index)
    assert found.packages == ("alpha==1.0", "beta==1.0")
    assert found.text.count("--hash=sha256:") == 2
    assert "127.0.0.1" not in found.text
    assert "torch" not in found.text


def test_the_first_lock_is_kept_when_the_index_moves_on(tmp_path: Path, index: str) -> None:
    first = locked("alpha\n", tmp_path, index)
    again = locked("# the same\nAlpha\n", tmp_path, NOWHERE)
    assert (again.text, again.kept, first.kept) == (first.text, True, False)


def test_a_wheel_folder_of_the_course_needs_no_index(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "delta", "3.0")
    assignment = MNIST_TRAIN.model_copy(update={"index": NOWHERE})
    tool = PackageTool.of(Course(assignments=(assignment,), wheels=tmp_path / "wheels"), assignment, tmp_path)
    assert lock(requirements("delta\n"), BASE, assignment, tmp_path, tool).packages == ("delta==3.0",)


def failure(text: str, tmp_path: Path, index: str, **changes: object) -> str:
    with pytest.raises(SubmissionError) as caught:
        locked(text, tmp_path, index, **changes)
    assert caught.value.exit_code == 10
    return str(caught.value.faults[0])


def test_a_package_that_the_index_lacks_is_the_students(tmp_path: Path, index: str) -> None:
    said = failure("beta\nnosuchpackage\n", tmp_path, index)
    assert said.startswith("requirements.txt:2: ")
    assert "nosuchpackage was not found" in said


def test_a_dependency_that_conflicts_with_the_base_is_told_with_the_bases_version(tmp_path: Path, index: str) -> None:
    said = failure("gamma\n", tmp_path, index)
    assert "numpy==2.4.6" in said
    assert "gamma" in said


def test_an_index_that_cannot_be_reached_is_infrastructure(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot be reached") as caught:
        locked("alpha\n", tmp_path, NOWHERE)
    assert caught.value.exit_code == 3
    assert "127.0.0.1" not in caught.value.message


def test_an_index_that_knows_no_package_at_all_is_infrastructure(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with serve_index(tmp_path / "empty") as address, pytest.raises(InfrastructureError, match="cannot be reached"):
        locked("alpha\n", tmp_path, address)


def test_without_upload_times_the_date_is_given_up_aloud(tmp_path: Path, index: str) -> None:
    found = locked("alpha\n", tmp_path, index, locked_as_of=datetime(2020, 1, 1, tzinfo=UTC))
    assert found.packages == ("alpha==1.0", "beta==1.0")
    assert "no upload times" in found.notes[0]


def test_the_environment_of_the_tool_holds_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("PYTHONPATH", "/tmp")
    monkeypatch.setenv("UV_INDEX_URL", "https://index.example/simple")
    environment = PackageTool(tmp_path).environment()
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert "PYTHONPATH" not in environment
    assert environment["UV_INDEX_URL"] == "https://index.example/simple"


def test_two_assignments_lock_apart(tmp_path: Path, index: str) -> None:
    first = locked("alpha\n", tmp_path, index)
    other: Assignment = MNIST_TRAIN.model_copy(update={"index": index, "name": "other"})
    tool = PackageTool.of(Course(assignments=(other,)), other, tmp_path)
    assert not lock(requirements("alpha\n"), BASE, other, tmp_path, tool).kept
    assert not first.kept


def test_torchvision_of_the_index_does_not_work_with_the_bases_cpu_build(tmp_path: Path) -> None:
    make_wheel(tmp_path / "index", "torchvision", "0.28.0", requires=["torch"])
    with serve_index(tmp_path / "index") as index, pytest.raises(SubmissionError) as caught:
        locked("numpy\ntorchvision", tmp_path, index)
    fault = caught.value.faults[0]
    assert (fault.where, fault.line) == ("requirements.txt", 2)
    assert "built for CUDA" in fault.message and "ask the staff" in fault.hint
