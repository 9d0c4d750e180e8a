"""A submission's Python files, parsed and never run: each must compile, and the entry file has what the job needs."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.errors import Fault
from pipeline.text import one_line

MOST_BYTES = 2**20
CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
UTF8_NAMES = {b"utf-8", b"utf8", b"utf_8", b"utf-8-sig", b"ascii", b"us-ascii"}
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def check_python(root: Path, files: Iterable[str]) -> list[Fault]:
    """The faults of all Python files among `files`, paths below `root`."""
    found = (parse(path, (root / path).read_bytes()) for path in files if path.endswith(".py"))
    return [parsed for parsed in found if isinstance(parsed, Fault)]


def parse(name: str, content: bytes) -> ast.Module | Fault:
    """The syntax tree of a module, which compiles, or the first fault with its line."""
    if len(content) > MOST_BYTES:
        return Fault(name, f"has {len(content)} bytes, more than a Python file may have", "keep data in other files")
    if content.startswith(UTF16_MARKS):
        return Fault(name, "is UTF-16 text, and only UTF-8 is read", "save it as UTF-8", 1)
    for number, line in enumerate(content.split(b"\n")[:2], start=1):
        coding = CODING.match(line)
        if coding and coding[1].lower() not in UTF8_NAMES:
            said = one_line(coding[1].decode("ascii", "replace"), 40)
            return Fault(name, f"says that it is {said}, and only UTF-8 is read", "save it as UTF-8", number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content, name)
            compile(tree, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        return Fault(
            name, f"cannot be parsed: {one_line(error.msg or 'wrong syntax')}", shown_line(error), error.lineno
        )
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return Fault(name, f"cannot be parsed: {one_line(str(error)) or 'too deeply nested'}")
    return tree


def shown_line(error: SyntaxError) -> str:
    return f"the line is `{one_line(error.text, 80)}`" if error.text and error.text.strip() else ""


def check_entry(root: Path, entry: str, needed: str) -> list[Fault]:
    """Whether the entry file is there and defines `needed`. A file that does not parse is not judged again."""
    path = root / entry
    if not path.is_file():
        there = sorted(one.name for one in root.glob("*.py"))
        hint = f"the Python files here are {', '.join(there)}" if there else f"write {entry} with `def {needed}()`"
        return [Fault(entry, "is missing, and the job starts with it", hint)]
    tree = parse(entry, path.read_bytes())
    if isinstance(tree, Fault) or needed in set(defined(tree.body)) or "*" in set(defined(tree.body)):
        return []
    return [Fault(entry, f"does not define `{needed}`", f"write `def {needed}():` at the left margin of {entry}")]


def defined(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """The names that statements of a module bind, those under `if` and `try` included; `*` for a star import."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.ImportFrom | ast.Import):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from defined(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from defined(handler.body)
