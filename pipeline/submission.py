"""`submission.toml` -> the job, within what the assignment opens. Every fault at once, with line and hint.

The file is flat: `assignment` and `kind` say what it is for, every other key is one of the job's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.course import iso, plain_value
from pipeline.errors import Fault, UsageError
from pipeline.kinds import TRAITS, Job, openable
from pipeline.settings import Assignment, Course
from pipeline.text_files import TomlFile, read_toml
from pipeline.validation import faults_of, nearest, shown

FILE = "submission.toml"
ABOUT = ("assignment", "kind")
Overrides = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Submission:
    """What a student set: values by key, the origin of each, and the faults of the file itself."""

    values: dict[str, object]
    origins: dict[str, tuple[str, int | None]]
    faults: tuple[Fault, ...] = ()


def read_submission(content: bytes | None, overrides: Overrides = ()) -> Submission:
    """The keys of `submission.toml` (None: there is none), then those of `--set`, which count as the student's."""
    document = read_toml(content, FILE) if content is not None else TomlFile(FILE, {})
    faults = (document,) if isinstance(document, Fault) else ()
    values: dict[str, object] = {}
    origins: dict[str, tuple[str, int | None]] = {}
    if isinstance(document, TomlFile):
        values = json.loads(json.dumps(document.values, default=iso))
        origins = {key: (FILE, document.line((key,))) for key in values}
    for key, text in overrides:
        values[key] = plain_value(text)
        origins[key] = (f"--set {key}", None)
    return Submission(values, origins, faults)


def chosen_assignment(course: Course, asked: str | None, submission: Submission) -> Assignment | Fault:
    """The assignment that was asked for, else the one that the submission names, else the course's only one.

    Raises UsageError where the one asked for is not in the course.
    """
    names = [one.name for one in course.assignments]
    if asked is not None:
        assignment = course.assignment(asked)
        if assignment is None:
            raise UsageError(f"the course has no assignment {asked!r}", hint=nearest_name(asked, names))
        return assignment
    named = submission.values.get("assignment")
    where, line = submission.origins.get("assignment", (FILE, None))
    if isinstance(named, str) and (assignment := course.assignment(named)) is not None:
        return assignment
    if named is not None and not course.practice:
        return Fault(
            where,
            f"`assignment` is {shown(named)}, which the course does not have",
            nearest_name(str(named), names),
            line,
        )
    if course.practice:
        return example_of(course, submission)
    if len(course.assignments) == 1:
        return course.assignments[0]
    return Fault(FILE, "does not say which assignment it is for", f"add `assignment = ...`: {', '.join(names)}")


def example_of(course: Course, submission: Submission) -> Assignment | Fault:
    """In practice: the example assignment of the submission's kind."""
    kinds = {one.job.kind: one for one in reversed(course.assignments)}
    kind = submission.values.get("kind", course.assignments[0].job.kind)
    if isinstance(kind, str) and kind in kinds:
        return kinds[kind]
    where, line = submission.origins["kind"]
    return Fault(where, f"`kind` is {shown(kind)}", f"it is one of {', '.join(sorted(kinds))}", line)


def resolve_job(submission: Submission, assignment: Assignment, *, practice: bool) -> tuple[Job | None, list[Fault]]:
    """The assignment's job with the submission's settings; None where there are faults."""
    job = assignment.job
    opened = openable(job) if practice else assignment.opens
    faults = list(submission.faults)
    settings = {key: value for key, value in submission.values.items() if key not in ABOUT}
    for key in settings:
        faults += refused(key, opened, job, submission)
    kind = submission.values.get("kind", job.kind)
    if kind != job.kind:
        where, line = submission.origins["kind"]
        faults.append(Fault(where, f"`kind` is {shown(kind)}, and the assignment's is {job.kind!r}", "remove it", line))
    accepted = {key: value for key, value in settings.items() if key in opened}
    try:
        merged = type(job).model_validate_json(json.dumps(job.model_dump(mode="json") | accepted), strict=True)
    except ValidationError as error:
        faults += faults_of(error, type(job), lambda path: submission.origins.get(str(path[0]), (FILE, None)))
        merged = None
    faults += unmeasured(merged, assignment, submission) if merged is not None else []
    return (None if faults else merged), faults


def unmeasured(job: Job, assignment: Assignment, submission: Submission) -> list[Fault]:
    """Settings with which a check of the assignment would find nothing measured."""
    lacks = [(check, TRAITS[job.kind].unmeasured(job, check.measure)) for check in assignment.graded]
    found = []
    for check, lack in lacks:
        if lack is not None:
            where, line = submission.origins.get(lack.key, (FILE, None))
            found.append(Fault(where, f"check {check.name!r} is on `{check.measure}`", lack.instead, line))
    return found


def refused(key: str, opened: frozenset[str], job: Job, submission: Submission) -> list[Fault]:
    """The fault of a key that is none of the job's, or that the assignment keeps for itself."""
    where, line = submission.origins[key]
    if key in opened:
        return []
    if key in openable(job):
        open_keys = f"open are {', '.join(sorted(opened))}" if opened else "the assignment opens no key"
        message = f"`{key}` is set by the assignment ({shown(getattr(job, key))}), a submission cannot set it"
        return [Fault(where, message, f"remove it; {open_keys}", line)]
    return [Fault(where, f"unknown key `{shown(key)[1:-1]}`", nearest(key, {*opened, *ABOUT}), line)]


def nearest_name(name: str, names: Sequence[str]) -> str:
    return nearest(name, names).replace("the keys here are", "it has").replace("no key can be set here", "it has none")
