"""What a student wrote reaches a terminal as plain text and nothing else."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import one_line, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, with tab\tand ümlaut 手", "plain, with tab\tand ümlaut 手"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice string\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("loss 0.1\rloss 0.0", "loss 0.1\nloss 0.0"),
        ("one\r\ntwo", "one\ntwo"),
        ("bell\x07 null\x00 delete\x7f", "bell null delete"),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),
        ("\ud800", "?"),
    ],
)
def test_escapes_and_controls_are_gone(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b\x9b[]\\;m\x07\r\n")))
def test_nothing_that_moves_a_cursor_is_left(text: str) -> None:
    left = printable(text)
    assert all(unicodedata.category(one) != "Cc" or one in "\t\n" for one in left)
    assert printable(left) == left


def test_one_line_is_one_line_and_says_that_it_was_cut() -> None:
    assert one_line("a\n b\r\nc") == "a b c"
    assert one_line("x" * 50, at_most=10) == "x" * 9 + "…"
