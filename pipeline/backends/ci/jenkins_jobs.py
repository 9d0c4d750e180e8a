"""The config.xml of a course's folder and jobs in Jenkins. Pure: the same course and roster give the same bytes.

What makes a job ours, and whether it is as it should be, is a mark in its description: a hash of its own XML.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.build_server import BuildServer
from pipeline.errors import CourseError
from pipeline.roster import Owner
from pipeline.settings import Assignment, Course

# as the Jenkinsfile takes them
PARAMETERS = ("SUBMISSION_ID", "COURSE", "ASSIGNMENT", "STUDENT", "REPOSITORY", "COMMIT", "ARRIVED", "ATTEMPT")
BOT = ("Build", "Cancel", "Configure", "Discover", "Read")
STAFF = ("Build", "Cancel", "Read", "Workspace")
STUDENT = ("Read",)
KEPT = "Kept by `pipeline jenkins sync`; changes by hand are lost. "
MARK = re.compile(r"\[pipeline ([0-9a-f]{16})\]")
# XML 1.0 and 1.1 have no way to write these
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")


@dataclass(frozen=True)
class Item:
    """A folder or job as it should be. `mark` stands in its description."""

    name: str
    xml: str
    mark: str


def job_name(course: str, assignment: str, student: str) -> str:
    return f"{course}/{assignment}-{student}"


def folder(course: Course, owners: Sequence[Owner], server: BuildServer) -> Item:
    """The course's folder: its students may enter it, and see in it only what is theirs."""
    users = {user: STUDENT for owner in owners for user in owner.users}
    values = {
        "title": course.title or course.name,
        "permissions": [("Create", server.user), *permissions(users, server)],
    }
    return item(course.name, "jenkins_folder.xml.j2", values)


def jobs(course: Course, owners: Sequence[Owner], server: BuildServer) -> tuple[Item, ...]:
    """One job for each owner and assignment. Jenkins' permissions stop at an item, so no job is shared.

    Raises CourseError where two would have the same name.
    """
    pairs: dict[str, tuple[Assignment, Owner]] = {}
    for assignment in course.assignments:
        for owner in owners:
            name = job_name(course.name, assignment.name, owner.name)
            if name in pairs:
                other, another = pairs[name]
                raise CourseError(
                    f"{owner.name} at {assignment.name} and {another.name} at {other.name} would share the job {name}, "
                    "and see each other's builds",
                    hint=f"name {owner.name} or {another.name} otherwise in the roster",
                )
            pairs[name] = assignment, owner
    return tuple(job(course, assignment, owner, server) for assignment, owner in pairs.values())


def job(course: Course, assignment: Assignment, owner: Owner, server: BuildServer) -> Item:
    values = {
        "title": f"{assignment.title or assignment.name} · {owner.name}",
        "permissions": permissions(dict.fromkeys(owner.users, STUDENT), server),
        "keep_builds": server.keep_builds,
        "parameters": PARAMETERS,
        "script": server.script,
    }
    return item(job_name(course.name, assignment.name, owner.name), "jenkins_job.xml.j2", values)


def permissions(students: Mapping[str, Sequence[str]], server: BuildServer) -> list[tuple[str, str]]:
    """The bot first: a folder or job that does not name it locks it out. Who is several of these has the most."""
    granted = {**students, **dict.fromkeys(server.staff, STAFF), server.user: BOT}
    first = {server.user: BOT, **{user: granted[user] for user in sorted(granted)}}
    return [(permission, user) for user, kinds in first.items() for permission in kinds]


def item(name: str, template: str, values: Mapping[str, Any]) -> Item:
    plain = {key: CONTROLS.sub("", value) if isinstance(value, str) else value for key, value in values.items()}
    mark = hashlib.sha256(rendered(template, plain | {"description": KEPT}).encode()).hexdigest()[:16]
    return Item(name, rendered(template, plain | {"description": f"{KEPT}[pipeline {mark}]"}), mark)


def mark_of(description: str | None) -> str | None:
    """The mark in a job's description; None where the job is not ours."""
    found = MARK.search(description or "")
    return found[1] if found else None


def rendered(name: str, values: Mapping[str, Any]) -> str:
    text: str = environment().get_template(name).render(values)
    return text


@cache
def environment() -> Any:
    """Jinja2 that escapes for XML, and knows no value that is not there."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Path(__file__).resolve().parents[3] / "templates"
    return Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
