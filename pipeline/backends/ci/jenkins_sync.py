"""Jenkins' folder and jobs of a course as its roster says: what differs, and making it so. Never deletes a build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.backends.ci import Difference
from pipeline.backends.ci.jenkins import Connection, MissingError
from pipeline.backends.ci.jenkins_jobs import Item, folder, jobs, mark_of
from pipeline.build_server import BuildServer
from pipeline.roster import Owner
from pipeline.settings import Course


class CourseJobs:
    """Implements `Jobs`: the folder and jobs of one course."""

    def __init__(self, connection: Connection, course: Course, owners: Sequence[Owner], server: BuildServer) -> None:
        self.connection = connection
        self.course = course
        self.folder = folder(course, owners, server)
        self.jobs = {item.name: item for item in jobs(course, owners, server)}

    def differences(self) -> list[Difference]:
        try:
            description, there = self.connection.jobs(self.folder.name)
        except MissingError:
            return [Difference("create", name) for name in (self.folder.name, *self.jobs)]
        found = {f"{self.course.name}/{name}": job for name, job in there.items()}
        changed = [] if mark_of(description) == self.folder.mark else [Difference("update", self.folder.name)]
        changed += [one for name, item in self.jobs.items() if (one := difference(item, found.get(name)))]
        return changed + [one for name, job in found.items() if name not in self.jobs and (one := left(name, job))]

    def sync(self, tell: Callable[[Difference], None]) -> list[Difference]:
        found = self.differences()
        for one in found:
            if one.kind in {"create", "update"}:
                self.connection.put(self.folder if one.name == self.folder.name else self.jobs[one.name])
            elif one.kind == "enable":
                self.connection.enable(one.name)
            elif one.kind == "disable":
                self.connection.disable(one.name)
            tell(one)
        return found


def difference(item: Item, found: dict[str, Any] | None) -> Difference | None:
    """A job that is not ours but has our job's name is taken over: the roster says whose it is."""
    if found is None:
        return Difference("create", item.name)
    if mark_of(found.get("description")) != item.mark:
        return Difference("update", item.name)
    return Difference("enable", item.name) if is_disabled(found) else None


def left(name: str, found: dict[str, Any]) -> Difference | None:
    """A job of somebody who is not on the roster any more keeps its builds and takes no new ones."""
    if mark_of(found.get("description")) is None:
        return Difference("foreign", name)
    return None if is_disabled(found) else Difference("disable", name)


def is_disabled(found: dict[str, Any]) -> bool:
    return found.get("color") == "disabled" or found.get("buildable") is False
