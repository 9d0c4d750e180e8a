"""`students.csv`: who takes part in a course, as whom in Jenkins, and in which team."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from pipeline.errors import CourseError, Fault, UsageError
from pipeline.frozen import Frozen, Name
from pipeline.text import one_line
from pipeline.validation import faults_of, nearest

COLUMNS = ("name", "email", "jenkins", "team")
MOST_BYTES = 2 * 2**20


class Student(Frozen):
    """`name` owns repositories and jobs unless a team does; `jenkins` is the user's name there, `name` where empty."""

    name: Name
    email: str = Field(default="", pattern=r"^(?:[^@\s]+@[^@\s]+)?$")
    jenkins: str = Field(default="", pattern=r"^[A-Za-z0-9._@-]{0,128}$")
    team: str = Field(default="", pattern=r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)?$")

    @property
    def user(self) -> str:
        return self.jenkins or self.name

    @property
    def owner(self) -> str:
        return self.team or self.name


@dataclass(frozen=True)
class Owner:
    """A student or team: one repository and one job for each assignment, seen by `users`."""

    name: str
    users: tuple[str, ...]


def read_roster(file: Path) -> tuple[Owner, ...]:
    """The owners, by name. Raises UsageError where there is no such file, CourseError with every fault and its line."""
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint=f"columns: {', '.join(COLUMNS)}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{file} is not UTF-8", hint="save it as UTF-8") from None
    if len(content) > MOST_BYTES:
        raise CourseError(f"{file} is no roster: it has {len(content)} bytes", hint="one line a student")
    faults: list[Fault] = []
    students = list(rows(text, str(file), faults))
    faults += repeated(students, str(file))
    if faults:
        raise CourseError(f"{file}: {len(faults)} to mend", hint=f"columns: {', '.join(COLUMNS)}", faults=faults)
    return owners([student for _, student in students])


def rows(text: str, name: str, faults: list[Fault]) -> Iterator[tuple[int, Student]]:
    """Each student with the line; commas or semicolons, as spreadsheets write them."""
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in first and "," not in first else ",", strict=True)
    try:
        header = [one.strip() for one in reader.fieldnames or ()]
        reader.fieldnames = header
        for column in header:
            if column not in COLUMNS:
                faults.append(Fault(name, f"unknown column `{one_line(column, 40)}`", nearest(column, COLUMNS), 1))
        if "name" not in header:
            faults.append(Fault(name, "has no column `name`", "the first line names the columns", 1))
        if faults:
            return
        for row in reader:
            yield from student_of(row, name, reader.line_num, faults)
    except csv.Error as error:
        faults.append(Fault(name, f"is no CSV: {error}", "", reader.line_num))


def student_of(row: dict[str, str], name: str, line: int, faults: list[Fault]) -> Iterator[tuple[int, Student]]:
    values = {key: (value or "").strip() for key, value in row.items() if key in COLUMNS}
    if None in row:
        faults.append(Fault(name, "has more fields than columns", "put quotes around a comma", line))
    elif any(values.values()):
        try:
            yield line, Student.model_validate(values)
        except ValidationError as error:
            faults += faults_of(error, Student, lambda _: (name, line))


def repeated(students: list[tuple[int, Student]], name: str) -> list[Fault]:
    """A name, and a team's name, is somebody's alone: both become paths and jobs."""
    faults: list[Fault] = []
    lines: dict[str, int] = {}
    for line, student in students:
        if student.name in lines:
            faults.append(
                Fault(name, f"{student.name} is on line {lines[student.name]} already", "one line each", line)
            )
        lines.setdefault(student.name, line)
    faults += [
        Fault(name, f"the team {student.team} has a student's name", "name it otherwise", line)
        for line, student in students
        if student.team in lines and student.team
    ]
    return faults


def owners(students: list[Student]) -> tuple[Owner, ...]:
    users: dict[str, list[str]] = {}
    for student in students:
        users.setdefault(student.owner, []).append(student.user)
    return tuple(Owner(name, tuple(sorted(set(found)))) for name, found in sorted(users.items()))
