"""Whether the output of a map-reduce is right: by a reference of the course's, a file, or a predicate of staff's."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.data.lines import Line, lines_of
from pipeline.errors import CourseError
from pipeline.judging import Predicates, alike, shown
from pipeline.kinds.function import Case
from pipeline.kinds.mapreduce import MapReduceData

MOST_NAMED = 3
MOST_KEYS = 1_000_000
DEEPEST = 64
CASE = "output"


@dataclass(frozen=True)
class Found:
    """The output as pairs by the text of their key. `fault`: why it is no output, for the student."""

    values: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True)
class Judgement:
    """`words` for the check, `headline` for the summary; both are fit for a student where the input is hidden."""

    right: bool
    words: str
    headline: str


def key_text(key: Any) -> str:
    """The one way in which a key is written."""
    return json.dumps(key, sort_keys=True, separators=(",", ":"))


def read_output(content: bytes) -> Found:
    """The pairs of all reducers; written by a process of the student's."""
    values: dict[str, Any] = {}
    for line in content.decode("utf-8", errors="replace").split("\n")[:-1]:
        key, tab, value = line.partition("\t")
        try:
            if not tab or key_text(finite(key)) != key:
                return Found(fault=f"a line is no pair of key and value: {shown(line)}")
            if key in values:
                return Found(fault=f"key {shown(json.loads(key))} has more than one result")
            values[key] = finite(value)
            if len(values) > MOST_KEYS:
                return Found(fault=f"there are more than {MOST_KEYS:,} keys")
        except (ValueError, RecursionError):
            return Found(fault=f"a line is no JSON: {shown(line)}")
    return Found(values)


def finite(text: str) -> Any:
    """A value of JSON. Raises ValueError for NaN, for infinity in any form and for what is nested too deeply."""
    value = json.loads(text, parse_constant=refused, parse_float=finite_number)
    if text.count("[") + text.count("{") > DEEPEST and deeper(value, DEEPEST):
        raise ValueError("nested too deeply")
    return value


def refused(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def deeper(value: Any, levels: int) -> bool:
    """Whether a value is nested more than `levels` deep; without recursion, which such a value would exhaust."""
    layer = [value]
    for _ in range(levels + 1):
        inner = [one for one in layer if isinstance(one, dict | list)]
        layer = [each for one in inner for each in (one.values() if isinstance(one, dict) else one)]
        if not inner:
            return False
    return True


def ready_to_judge(data: MapReduceData) -> None:
    """Raises CourseError where staff's file or predicate cannot be used: before anything runs."""
    if data.expected is not None:
        expected_of(data.expected)
    if data.predicate:
        Predicates(data.predicates).function(data.predicate)


def judged(data: MapReduceData, cache: Path | None, found: Found) -> Judgement:
    """Raises CourseError where staff's file or predicate fails."""
    if data.predicate:
        return by_predicate(data, [*lines_of(data, cache)], found)
    if data.expected is not None:
        expected = expected_of(data.expected)
        said = f"{len(expected):,} keys"
    else:
        counts = word_count(line for _, line in lines_of(data, cache))
        expected = {key_text(word): number for word, number in counts.items()}
        said = f"{counts.total():,} words, {len(counts):,} different"
    differing = found.fault or differences(expected, found.values, data.tolerance)
    exact = "exact" if data.tolerance == 0 else "right"
    if data.hidden:
        return hidden(not differing)
    return Judgement(not differing, differing or f"{exact}: {said}", f"{said}, {'wrong' if differing else exact}")


def hidden(right: bool) -> Judgement:
    value = "right" if right else "wrong"
    return Judgement(right, f"the output for the hidden input is {value}", f"hidden input, {value}")


def word_count(lines: Iterable[str]) -> Counter[str]:
    """How often each word, all that stands between white space, occurs."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line.split())
    return counts


def expected_of(path: Path) -> dict[str, Any]:
    """Staff's file: an object, or a list of pairs where keys are no texts. Raises CourseError."""
    try:
        content = json.loads(path.read_bytes())
        pairs = list(content.items()) if isinstance(content, dict) else [(key, value) for key, value in content]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        hint = "a JSON object, or a list of [key, value]"
        raise CourseError(f"{path} is no expected output: {type(error).__name__}: {error}", hint=hint) from error
    return {key_text(key): value for key, value in pairs}


def differences(expected: Mapping[str, Any], found: Mapping[str, Any], tolerance: float) -> str:
    """What differs, with the first few keys; nothing where the two are equal."""
    missing = sorted(key for key in expected if key not in found)
    more = sorted(key for key in found if key not in expected)
    wrong = sorted(key for key in expected if key in found and not alike(found[key], expected[key], tolerance))
    parts = [
        listed(wrong, "wrong", lambda key: f"{key} is {shown(found[key])}, expected {shown(expected[key])}"),
        listed(missing, "missing", str),
        listed(more, "that should not be there", str),
    ]
    of_all = f"of {len(expected):,} keys "
    return of_all + "; ".join(filter(None, parts)) if any(parts) else ""


def listed(keys: Sequence[str], what: str, name: Any) -> str:
    if not keys:
        return ""
    named = ", ".join(shown(json.loads(key)) if name is str else name(key) for key in keys[:MOST_NAMED])
    more = ", ..." if len(keys) > MOST_NAMED else ""
    return f"{len(keys):,} {what} ({named}{more})"


def by_predicate(data: MapReduceData, lines: Sequence[Line], found: Found) -> Judgement:
    """`predicate(input, output)`, both `{"pairs": [[key, value], ...]}`."""
    if found.fault:
        return hidden(False) if data.hidden else Judgement(False, found.fault, "output, wrong")
    case = Case(
        name=CASE,
        input={"pairs": [[key, line] for key, line in lines]},
        compare="predicate",
        predicate=data.predicate,
        hidden=data.hidden,
        points=1,
    )
    output = {"pairs": [[json.loads(key), value] for key, value in found.values.items()]}
    right, said = Predicates(data.predicates).judge(case, output)
    if data.hidden:
        return hidden(right)
    keys = f"{len(found.values):,} keys, {'right' if right else 'wrong'}"
    return Judgement(right, f"{keys}{f': {said}' if said else ''}", keys)
