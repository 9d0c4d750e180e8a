"""What `auto` means: containers where what is graded asks for them and there is an engine, else processes."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import beginning
from pipeline.beginning import sandbox_of
from pipeline.practice import MNIST_TRAIN, practice_course
from pipeline.run import Request
from pipeline.settings import Course, Isolation, Sandbox

CONTAINED = MNIST_TRAIN.model_copy(update={"name": "contained", "least_isolation": Isolation.CONTAINER})
FREE = MNIST_TRAIN.model_copy(update={"name": "free", "least_isolation": Isolation.NAMESPACES})
GRADED = Course(name="ml", assignments=(CONTAINED, FREE))


@pytest.fixture(params=[True, False])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    answers: bool = request.param
    monkeypatch.setattr(beginning, "engine_answers", lambda: answers)
    return answers


def asked(course: Course, **request: Any) -> Sandbox:
    return sandbox_of(Request(source="here", **request), course)


def test_practice_and_what_needs_no_container_run_in_processes(engine: bool) -> None:
    assert asked(practice_course()) is Sandbox.PROCESS
    assert asked(GRADED, assignment="free") is Sandbox.PROCESS


def test_what_needs_a_container_gets_one_where_there_is_an_engine(engine: bool) -> None:
    expected = Sandbox.DOCKER if engine else Sandbox.PROCESS
    assert asked(GRADED, assignment="contained") is expected
    assert asked(GRADED) is expected, "the submission says later which assignment it is for"


@pytest.mark.parametrize("sandbox", [Sandbox.PROCESS, Sandbox.DOCKER])
def test_what_is_asked_for_by_name_is_used(engine: bool, sandbox: Sandbox) -> None:
    assert asked(GRADED, sandbox=sandbox) is sandbox
    assert asked(practice_course(), sandbox=sandbox) is sandbox
