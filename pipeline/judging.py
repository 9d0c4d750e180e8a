"""Whether an answer is right: equal as JSON, close to what is expected, or by a predicate of staff's."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.functions import Activation
from pipeline.calling.failures import failure
from pipeline.errors import CourseError
from pipeline.kinds.function import Case
from pipeline.text import one_line

MOST_SHOWN = 160


@dataclass(frozen=True)
class Verdict:
    """Of one case, with what the student is told."""

    right: bool
    words: str
    hint: str = ""
    """What to do about a call that failed; nothing where the answer says it."""


def verdict(case: Case, record: Activation, predicates: Predicates) -> Verdict:
    """Judges the activation that a case ended with. Raises CourseError where staff's predicate fails."""
    if not record.success:
        why = failure(record, runner=False)
        told = why.withheld if case.hidden else why
        return Verdict(False, f"{named(case)}: {told.reason}", told.hint)
    if case.predicate:
        is_right, said = predicates.judge(case, record.result)
    else:
        tolerance = case.tolerance if case.compare == "close" else 0.0
        is_right, said = alike(record.result, case.expected, tolerance), ""
    if case.hidden:
        return Verdict(is_right, f"{named(case)}: {'right' if is_right else 'wrong'}")
    answered = f"answered {shown(record.result)}"
    if is_right:
        return Verdict(True, f"{named(case)}: {answered}")
    expected = "" if case.predicate else f", expected {shown(case.expected)}"
    return Verdict(False, f"{named(case)}: {answered}{expected}{f': {said}' if said else ''}")


def named(case: Case) -> str:
    return f"hidden case {case.name}" if case.hidden else f"case {case.name}"


def shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"what cannot be written as JSON, a {type(value).__name__}"
    return one_line(text, MOST_SHOWN)


def alike(answer: Any, expected: Any, tolerance: float = 0.0) -> bool:
    """Equal as JSON, in which true is no number; numbers may differ by `tolerance`, relative or absolute."""
    if isinstance(expected, bool) or isinstance(answer, bool) or expected is None or isinstance(expected, str):
        return type(answer) is type(expected) and bool(answer == expected)
    if isinstance(expected, int | float):
        return isinstance(answer, int | float) and near(answer, expected, tolerance)
    if isinstance(expected, dict):
        same_keys = isinstance(answer, dict) and answer.keys() == expected.keys()
        return same_keys and all(alike(answer[key], expected[key], tolerance) for key in expected)
    same_length = isinstance(answer, list) and len(answer) == len(expected)
    return same_length and all(alike(*pair, tolerance) for pair in zip(answer, expected, strict=True))


def near(answer: float, expected: float, tolerance: float) -> bool:
    if answer == expected:
        return True
    try:
        return math.isclose(answer, expected, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # a whole number beyond what a float holds
        return False


class Predicates:
    """Functions of a Python file of staff's, loaded when the first one is asked for. It is trusted as the course is."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.functions: dict[str, Any] | None = None

    def judge(self, case: Case, answer: Any) -> tuple[bool, str]:
        """What `predicate(input, answer)` says: true or false, or that and a reason for the student."""
        said = self.call(case, answer)
        parts: Sequence[Any] = said if isinstance(said, tuple) else (said, "")
        if len(parts) != 2 or not isinstance(parts[0], bool):
            answered = "something else than true or false" if case.hidden else shown(said)
            raise CourseError(
                f"predicate {case.predicate} answered {answered} for case {case.name}",
                hint="let it return True or False, or one of these and a reason",
            )
        return parts[0], one_line(str(parts[1]), MOST_SHOWN)

    def call(self, case: Case, answer: Any) -> Any:
        try:
            return self.function(case.predicate)(json.loads(json.dumps(case.input)), answer)
        except CourseError:
            raise
        except Exception as error:  # whatever staff's code raises of an answer that it did not expect
            said = type(error).__name__
            if not case.hidden:  # the text may hold what the function was given
                said += f": {one_line(str(error), MOST_SHOWN)}"
            raise CourseError(
                f"predicate {case.predicate} failed for case {case.name}: {said}",
                hint="let it answer False for whatever a student may return",
            ) from error

    def function(self, name: str) -> Callable[[Any, Any], Any]:
        if self.functions is None:
            self.functions = self.load()
        function = self.functions.get(name)
        if not callable(function):
            raise CourseError(f"{self.path} has no function {name}", hint="predicates and the cases' `predicate`")
        found: Callable[[Any, Any], Any] = function
        return found

    def load(self) -> dict[str, Any]:
        spec = importlib.util.spec_from_file_location("course_predicates", self.path) if self.path else None
        if spec is None or spec.loader is None:
            raise CourseError(f"{self.path} is no Python file", hint="set predicates in the assignment's data")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return vars(module)
