"""`course.toml` with its assignments, the environment and the command line -> frozen settings.

Where each value came from is kept. No file: practice with the example assignments, everything embedded.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import CourseError, Fault, UsageError
from pipeline.kinds import TRAITS
from pipeline.practice import EXAMPLES
from pipeline.settings import Course, Servers
from pipeline.text_files import TomlFile, read_toml
from pipeline.validation import faults_of, nearest

PREFIX = "PIPELINE_"
# what may differ from machine to machine; all else is the course's and stands in its file
MACHINE_KEYS = ("wheels", "cache", *(f"servers.{name}" for name in Servers.model_fields))
VARIABLES = {PREFIX + key.replace(".", "_").upper(): key for key in MACHINE_KEYS}
PATHS = ("wheels", "cache", *(f"servers.{name}" for name in Servers.model_fields if name.endswith("_file")))
DATA_PATHS = sorted({name for traits in TRAITS.values() for name in traits.data.paths()})
ASSIGNMENT_PATHS = (*(f"data.{name}" for name in DATA_PATHS), "secret_file")
BASE_PATHS = ("rootfs",)
MADE_WHEN_MISSING = {"cache"}


@dataclass(frozen=True)
class Origin:
    """Where a value came from: `course.toml:12`, `environment PIPELINE_CACHE`, `command line --cache`, `default`."""

    where: str
    line: int | None = None

    def __str__(self) -> str:
        return self.where if self.line is None else f"{self.where}:{self.line}"


DEFAULT = Origin("default")


@dataclass(frozen=True)
class LoadedCourse:
    """A course, and the origin of each value that is not a default, by dotted key (`assignments.0.deadline`)."""

    course: Course
    origins: dict[str, Origin] = field(default_factory=dict)

    def origin(self, key: str) -> Origin:
        return self.origins.get(key, DEFAULT)


def load_course(
    file: Path | None, *, environment: Mapping[str, str] | None = None, command_line: Mapping[str, str] | None = None
) -> LoadedCourse:
    """Reads a course's settings; the command line goes before the environment, and this before the file.

    `command_line` holds dotted keys, those of `MACHINE_KEYS`. Raises UsageError where there is no such file, and
    CourseError with every fault, its line, a hint and the nearest valid key.
    """
    document = read(file) if file else TomlFile("default", {"assignments": []})
    values = json.loads(json.dumps(document.values, default=iso))
    origins = {dotted(path): Origin(document.name, line) for path, line in document.lines.items()}
    faults = override(values, origins, os.environ if environment is None else environment, command_line or {})
    faults += resolve_paths(values, origins, file.resolve().parent if file else Path.cwd())
    if "practice" in values:
        at = origins.get("practice", DEFAULT)
        faults.append(Fault(at.where, "`practice` cannot be set", "it is a run without a course file", at.line))
        del values["practice"]
    if not file:
        values |= {"practice": True, "title": "Practice, not a grade"}
        values["assignments"] = [example.model_dump(mode="json") for example in EXAMPLES]
    course = validate(values, document, origins, faults)
    if course is None or faults:
        raise CourseError(
            f"{file or 'the settings'}: {count(faults)}", hint="docs/settings.md names every key", faults=faults
        )
    return LoadedCourse(course, origins)


def read(file: Path) -> TomlFile:
    try:
        document = read_toml(file.read_bytes(), str(file))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint="name a course file with --course") from None
    if isinstance(document, Fault):
        raise CourseError(f"{file} cannot be read as a course", faults=[document])
    return document


def override(
    values: dict[str, Any], origins: dict[str, Origin], environment: Mapping[str, str], command_line: Mapping[str, str]
) -> list[Fault]:
    """Puts the environment's and the command line's values over those of the file."""
    faults = []
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        if variable in VARIABLES:
            put(values, VARIABLES[variable], environment[variable])
            origins[VARIABLES[variable]] = Origin(f"environment {variable}")
        elif near := difflib.get_close_matches(variable, VARIABLES, n=1, cutoff=0.85):
            # others may use the prefix for their own ends: only what looks like a slip is refused
            faults.append(Fault("environment", f"unknown variable {variable}", f"did you mean `{near[0]}`?"))
    for key, text in command_line.items():
        if key not in MACHINE_KEYS:
            faults.append(Fault("command line", f"unknown key `{key}`", nearest(key, MACHINE_KEYS)))
            continue
        put(values, key, text)
        origins[key] = Origin(f"command line --{key}")
    return faults


def put(values: dict[str, Any], key: str, text: str) -> None:
    *tables, last = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[last] = plain_value(text)


def plain_value(text: str) -> Any:
    """A value as it would stand in TOML (`3`, `0.1`, `true`, `"a"`), and any other text as it is."""
    try:
        values = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return values["value"] if list(values) == ["value"] else text


def resolve_paths(values: dict[str, Any], origins: dict[str, Origin], folder: Path) -> list[Fault]:
    """Makes each path absolute: those of the file against its folder, all others against the working folder."""
    keys = [*PATHS]
    for tables_of, paths in (("assignments", ASSIGNMENT_PATHS), ("bases", BASE_PATHS)):
        listed = values.get(tables_of)
        count = len(listed) if isinstance(listed, list) else 0
        keys += [f"{tables_of}.{number}.{path}" for number in range(count) for path in paths]
    faults = []
    for key in keys:
        *tables, last = key.split(".")
        table = table_at(values, tables)
        if not isinstance(table.get(last), str):
            continue
        origin = origin_of(key, origins)
        path = (folder if origin.line is not None else Path.cwd()) / Path(table[last]).expanduser()
        table[last] = str(path)
        if last not in MADE_WHEN_MISSING and not path.exists():
            faults.append(Fault(origin.where, f"`{last}` names {path}, which is not there", "", origin.line))
    return faults


def origin_of(key: str, origins: dict[str, Origin]) -> Origin:
    """Where a dotted key was set: a key in a table on one line stands where the table does."""
    parts = key.split(".")
    tables = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((origins[one] for one in tables if one in origins), DEFAULT)


def table_at(values: Any, parts: Sequence[str]) -> dict[str, Any]:
    """The table at a dotted key; an empty one where there is none."""
    for part in parts:
        values = values[int(part)] if isinstance(values, list) else values.get(part) if isinstance(values, dict) else {}
    return values if isinstance(values, dict) else {}


def validate(
    values: dict[str, Any], document: TomlFile, origins: dict[str, Origin], faults: list[Fault]
) -> Course | None:
    """The course, or None after adding to `faults`. Strict: a text is no number, a number no text."""

    def locate(location: Sequence[str | int]) -> tuple[str, int | None]:
        origin = origins.get(dotted(location))
        return (origin.where, origin.line) if origin else (document.name, document.line(location))

    try:
        return Course.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        faults += faults_of(error, Course, locate)
        return None


def dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)


def count(faults: Sequence[Fault]) -> str:
    return f"{len(faults)} fault{'s' if len(faults) != 1 else ''} in the course's settings"


def iso(value: object) -> str:
    """Dates of TOML as JSON has them."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"no value of TOML: {value!r}")


def cache_folder(course: Course) -> Path:
    """Where environments, bases and locks are kept: the course's folder, else the user's cache."""
    return course.cache or user_cache()


def user_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "ml-submission-pipeline"
