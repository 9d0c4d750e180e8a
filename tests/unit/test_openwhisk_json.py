"""JSON from outside: what is taken, what is refused, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedded.openwhisk.json_text import MalformedJsonError, compact, parse

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_is_written_is_read(value: Any) -> None:
    assert parse(compact(value).encode(), depth=200) == value
    assert parse(json.dumps(value, indent=1).encode(), depth=200) == value


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn\\u \n\t/x', max_size=40))
def test_what_python_refuses_is_refused_with_a_place(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(MalformedJsonError) as refusal:
            parse(text.encode(), depth=200)
        assert "input index" in str(refusal.value)
    else:
        assert parse(text.encode(), depth=200) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{nope", "Unexpected character 'n' at input index 1 (line 1, position 2), expected '\"':\n{nope\n ^\n"),
        (
            '{"exec":',
            "Unexpected end-of-input at input index 8 (line 1, position 9), expected JSON Value:\n"
            '{"exec":\n        ^\n',
        ),
        ("", "Unexpected end-of-input at input index 0 (line 1, position 1), expected JSON Value:\n\n^\n"),
        (
            "{} //",
            "Unexpected character '/' at input index 3 (line 1, position 4), expected end-of-input:\n{} //\n   ^\n",
        ),
    ],
)
def test_refusals_are_worded_as_recorded(text: str, message: str) -> None:
    with pytest.raises(MalformedJsonError) as refusal:
        parse(text.encode(), depth=200)
    assert str(refusal.value) == message


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": 1e999}', '{"a": -Infinity}'])
def test_numbers_that_json_does_not_have_are_refused(text: str) -> None:
    with pytest.raises(MalformedJsonError):
        parse(text.encode(), depth=200)


@pytest.mark.parametrize(("depth", "taken"), [(3, True), (4, False), (5000, False)])
def test_depth_is_bounded(depth: int, taken: bool) -> None:
    text = ("[" * depth + "]" * depth).encode()
    if taken:
        assert parse(text, depth=3) == [[[]]]
    else:
        with pytest.raises(MalformedJsonError, match="nested"):
            parse(text, depth=3)
