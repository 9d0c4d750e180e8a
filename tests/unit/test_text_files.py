"""Lines of TOML keys, compared with what tomllib reads."""

from __future__ import annotations

import tomllib

import pytest

from pipeline.errors import Fault
from pipeline.text_files import TomlFile, key_lines, read_toml


def test_every_key_of_a_crooked_document_has_its_line() -> None:
    text = '''\
# a = 1
a = """
b = 2 [ """
c = [ # ]
  "x]", 1,
]
"d.e" . f = 'it"s'
[g."h i"]
j = { k = 1 }
[[l]]
m = 1
[l.n]
o = 1
[[l]]
m = 2
[[l.p]]
q = \'\'\'
[[l]]\'\'\'
'''
    tomllib.loads(text)
    lines = key_lines(text)
    expected = {
        ("a",): 2, ("c",): 4, ("d.e", "f"): 7, ("g", "h i"): 8, ("g", "h i", "j"): 9, ("l", 0): 10, ("l", 0, "m"): 11,
        ("l", 0, "n", "o"): 13, ("l", 1, "m"): 15, ("l", 1, "p", 0): 16, ("l", 1, "p", 0, "q"): 17,
    }  # fmt: skip
    assert {path: lines.get(path) for path in expected} == expected
    assert not any("b" in path for path in lines)


def test_the_line_of_a_key_that_is_missing_is_that_of_its_table() -> None:
    document = read_toml(b"\n[a]\nb = 1\n", "x.toml")
    assert isinstance(document, TomlFile)
    assert document.line(("a", "c")) == 2
    assert document.line(("d",)) is None


@pytest.mark.parametrize(
    ("content", "words", "line"),
    [
        ("a = 1".encode("utf-16"), "UTF-16", 1),
        ("a = 1".encode("utf-32"), "UTF-32", 1),
        (b"a = 1\nb = '\xff'", "not UTF-8", 2),
        (b"a = 1\n\nb = '\0'", "NUL", 3),
        (b"a = 1\na = 2\n", "is not TOML", 2),
        (b"[" * 100_000, "is not TOML", None),
        (b"a = '" + b"x" * 300_000 + b"'", "bytes", None),
    ],
)
def test_what_is_no_toml_in_utf_8_is_named(content: bytes, words: str, line: int | None) -> None:
    fault = read_toml(content, "x.toml")
    assert isinstance(fault, Fault)
    assert words in fault.message
    assert line is None or fault.line == line


def test_a_byte_order_mark_of_utf_8_does_no_harm() -> None:
    document = read_toml(b"\xef\xbb\xbfa = 1", "x.toml")
    assert isinstance(document, TomlFile)
    assert document.values == {"a": 1}
