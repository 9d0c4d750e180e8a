"""Whether an answer is right, and what a student is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backends.functions import Activation
from pipeline.errors import CourseError
from pipeline.judging import Predicates, alike, verdict
from pipeline.kinds.function import Case

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def ended(result: Any, *, success: bool = True, status: str = "success") -> Activation:
    return Activation("a" * 32, "function", 0.0, 1.0, success, status, result, 10, 0.0, None, False)


def case(**values: Any) -> Case:
    return Case.model_validate({"name": "one", "points": 1, "input": {"a": 1}, "expected": {"b": 2}} | values)


@given(JSON)
def test_every_value_is_like_itself(value: Any) -> None:
    assert alike(value, value)
    assert not alike([value], value)


@pytest.mark.parametrize(
    ("answer", "expected", "tolerance", "same"),
    [
        (1, 1.0, 0.0, True),
        (True, 1, 0.0, False),
        (1, True, 0.0, False),
        (0, None, 0.0, False),
        ("1", 1, 0.0, False),
        (1.0 + 1e-9, 1, 0.0, False),
        (1.0 + 1e-9, 1, 1e-6, True),
        (1e9 + 1, 1e9, 1e-6, True),
        (1e-9, 0, 1e-6, True),
        (10**400, 1.0, 1e-6, False),
        (float("nan"), float("nan"), 1.0, False),
        ({"a": [1, 2.0000001]}, {"a": [1, 2]}, 1e-6, True),
        ({"a": 1, "b": 2}, {"a": 1}, 1e-6, False),
        ([1], [1, 2], 1e-6, False),
        ({"a": 1}, [1], 1e-6, False),
    ],
)
def test_alike(answer: Any, expected: Any, tolerance: float, same: bool) -> None:
    assert alike(answer, expected, tolerance) is same


def test_a_wrong_answer_is_shown_beside_the_right_one() -> None:
    said = verdict(case(), ended({"b": 3}), Predicates(None))
    assert not said.right
    assert said.words == 'case one: answered {"b": 3}, expected {"b": 2}'


def test_of_a_hidden_case_neither_answer_nor_input_nor_error_is_shown() -> None:
    hidden = case(hidden=True, input={"secret": 4711}, expected={"answer": 4712})
    for record in (
        ended({"answer": 4712}),
        ended({"answer": 4711}),
        ended({"error": "main.py, line 3: ValueError: 4711"}, success=False, status="application error"),
    ):
        assert "471" not in verdict(hidden, record, Predicates(None)).words


def test_a_hidden_case_that_met_a_limit_says_which() -> None:
    killed = ended({"error": "The action exhausted its memory and was aborted."}, success=False, status="developer")
    assert "more memory" in verdict(case(hidden=True), killed, Predicates(None)).words


@pytest.mark.parametrize(
    ("error", "status", "step"),
    [
        ("main.py, line 1: ModuleNotFoundError: No module named 'cv2'", "application error", "requirements.txt"),
        ("The action exceeded its time limits of 30000 milliseconds.", "action developer error", "endless loops"),
        ("The action exhausted its memory and was aborted.", "action developer error", "less in memory"),
    ],
)
def test_a_call_that_failed_has_the_next_step_of_its_failure(error: str, status: str, step: str) -> None:
    record = ended({"error": error}, success=False, status=status)
    assert step in verdict(case(), record, Predicates(None)).hint


def test_of_a_hidden_case_not_even_the_next_step_says_how_it_failed() -> None:
    record = ended({"error": "ModuleNotFoundError: No module named '4711'"}, success=False, status="application error")
    assert verdict(case(hidden=True), record, Predicates(None)).hint == ""


def test_staff_s_predicate_judges_and_gives_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "judge.py"
    file.write_text("def sorts(given, answer):\n    return answer.get('b') == given['a'] + 1, 'b is a + 1'\n")
    judged = case(compare="predicate", predicate="sorts")
    assert verdict(judged, ended({"b": 2}), Predicates(file)).right
    wrong = verdict(judged, ended({"b": 7}), Predicates(file))
    assert (wrong.right, wrong.words) == (False, 'case one: answered {"b": 7}: b is a + 1')


@pytest.mark.parametrize("body", ["return answer['b']", "return 1", "return (True,)", "raise ValueError('x')"])
def test_a_predicate_that_fails_is_the_course_s_fault(tmp_path: Path, body: str) -> None:
    file = tmp_path / "judge.py"
    file.write_text(f"def judge(given, answer):\n    {body}\n")
    with pytest.raises(CourseError, match="predicate judge"):
        verdict(case(compare="predicate", predicate="judge"), ended({}), Predicates(file))


def test_a_predicate_s_error_says_nothing_of_a_hidden_case(tmp_path: Path) -> None:
    file = tmp_path / "judge.py"
    file.write_text("def judge(given, answer):\n    return int(answer['b']) == 1\n")
    hidden = case(compare="predicate", predicate="judge", hidden=True)
    with pytest.raises(CourseError, match=r"ValueError$") as caught:
        verdict(hidden, ended({"b": "the input is 4711"}), Predicates(file))
    assert "4711" not in caught.value.message


def test_an_answer_that_is_nested_too_deeply_is_wrong(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert "cannot be written" in verdict(case(), ended({"b": deep}), Predicates(None)).words


def test_a_predicate_that_is_not_there_is_the_course_s_fault(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text("")
    with pytest.raises(CourseError, match="has no function judge"):
        verdict(case(compare="predicate", predicate="judge"), ended({}), Predicates(tmp_path / "judge.py"))
