"""A text as lines of pairs, key and value as JSON with a tab between, and cut into splits at whole lines.

The value is the line; the key is the name of its file, or where the text is one file the byte at which it begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.data import brown
from pipeline.errors import CourseError
from pipeline.kinds.mapreduce import MapReduceData

MB = 2**20
MOST_BYTES, MOST_LINE = 512 * MB, MB
Line = tuple[str | int, str]


def lines_of(data: MapReduceData, cache: Path | None) -> Iterator[Line]:
    """Key and value of each line. Raises CourseError where the text cannot be read, InfrastructureError for Brown's."""
    if data.text is None:
        text = brown.fetch(data.folder, cache).read_text(encoding="ascii")
        for line in text.splitlines():
            name, _, words = line.partition("\t")
            yield name, words
    elif data.text.is_dir():
        for path in sorted(one for one in data.text.rglob("*") if one.is_file()):
            name = path.relative_to(data.text).as_posix()
            yield from ((name, line) for _, line in file_lines(path))
    else:
        yield from file_lines(data.text)


def file_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file of UTF-8 without their ends, and the byte where each begins."""
    at = 0
    try:
        with path.open("rb") as file:
            for line in file:
                if len(line) > MOST_LINE:
                    raise CourseError(f"{path} has a line of {len(line)} bytes", hint=f"lines have {MOST_LINE} at most")
                yield at, line.decode("utf-8").rstrip("\r\n")
                at += len(line)
    except UnicodeDecodeError as error:
        raise CourseError(f"{path} is no text in UTF-8 (byte {at + error.start})", hint="convert it") from error
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}", hint="see data.text in course.toml") from error


def encoded(line: Line) -> bytes:
    return f"{json.dumps(line[0])}\t{json.dumps(line[1])}\n".encode("ascii")


def splits(lines: Iterator[Line], number: int) -> list[bytes]:
    """`number` parts of about the same size, some empty where there are fewer lines. Raises CourseError."""
    whole: list[bytes] = []
    total = 0
    for line in lines:
        whole.append(encoded(line))
        total += len(whole[-1])
        if total > MOST_BYTES:
            raise CourseError(f"the input has more than {MOST_BYTES // MB} MB", hint="give a smaller text")
    if not whole:
        raise CourseError("the input has no line", hint="see data.text in course.toml")
    return cut(whole, total, number)


def cut(lines: Sequence[bytes], total: int, number: int) -> list[bytes]:
    parts: list[list[bytes]] = [[] for _ in range(number)]
    at = 0
    for line in lines:
        # by the middle of the line: each part is within half a line of its share
        parts[min(number - 1, (2 * at + len(line)) * number // (2 * total))].append(line)
        at += len(line)
    return [b"".join(part) for part in parts]
