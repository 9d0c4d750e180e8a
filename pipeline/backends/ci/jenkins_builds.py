"""Submissions built by Jenkins. What is known of a build lies beside its console, so that any process can go on.

A submission's id is a parameter of its build: after a kill between a request and its record, the build is found by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.backends.ci import Look
from pipeline.backends.ci.jenkins import AwayError, Connection, MissingError, UnwantedError, job_path, queue_number
from pipeline.backends.ci.jenkins_artifacts import FOLDER, RESULT, Report, bring
from pipeline.backends.ci.jenkins_jobs import job_name
from pipeline.build_server import BuildServer
from pipeline.errors import InfrastructureError, Outcome
from pipeline.files import sync, write_json
from pipeline.result import Result
from pipeline.run import Status
from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder
from pipeline.text import one_line
from pipeline.verdict import RESULTS

LOOK_S = 1.0
"""Jenkins is asked after a build at most so often."""
MOST_RESULT_BYTES = 4 << 20


class Known(BaseModel):
    """Of a submission's build. `read` bytes of Jenkins' log are the first `kept` bytes of our console, and no more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: int | None = None
    number: int | None = None
    seen: int = 0
    "the last build of this submission that has ended: a start makes another one"
    read: int = 0
    kept: int = 0
    before: int = 0
    "bytes of the console that earlier builds wrote"


class JenkinsBuilds:
    """Implements `Builds`."""

    def __init__(self, course: CourseFolder, server: BuildServer, clock: Callable[[], float] = time.monotonic) -> None:
        self.course = course
        self.server = server
        self.connection = Connection(server)
        self.clock = clock
        self.looked: dict[str, tuple[float, Look]] = {}

    def start(self, entry: Entry) -> None:
        known = self.known(entry)
        if known.queue is not None or known.number is not None:
            return
        found = self.find(entry, known.seen)
        if found is None:
            path = f"{job_path(self.job(entry))}/buildWithParameters"
            found = known.model_copy(update={"queue": queue_number(self.connection.post(path, self.parameters(entry)))})
        self.keep(entry, found)

    def look(self, entry: Entry) -> Look:
        at, before = self.looked.get(entry.id, (0.0, None))
        if before is not None and self.clock() < at + LOOK_S:
            return before
        look = self.look_now(entry)
        self.looked[entry.id] = self.clock(), look
        if look.state in {"ended", "lost"}:
            del self.looked[entry.id]
        return look

    def look_now(self, entry: Entry) -> Look:
        known = self.known(entry)
        if known.number is None:
            waiting = self.leave_queue(entry, known)
            if waiting is not None:
                return waiting
            known = self.known(entry)
        return self.build(entry, known)

    def leave_queue(self, entry: Entry, known: Known) -> Look | None:
        """How it waits; None once it has a number, which is then kept."""
        found: Known | None = None
        if known.queue is not None:
            item = self.queue_item(entry, known.queue)
            if executable := item.get("executable"):
                found = known.model_copy(update={"queue": None, "number": int(executable["number"])})
            elif not item.get("cancelled"):
                return Look("queued", one_line(str(item.get("why") or "")), url=self.url(entry))
        found = found or self.find(entry, known.seen)
        if found is None or found.number is None:
            self.keep(entry, known.model_copy(update={"queue": found.queue if found else None}))
            return Look(
                "queued" if found else "lost", "" if found else "Jenkins has no build of it", url=self.url(entry)
            )
        self.keep(entry, found)
        return None

    def queue_item(self, entry: Entry, number: int) -> dict[str, Any]:
        """A cancelled one where there is none of this number, or it is another submission's.

        It is gone five minutes after it has left the queue, or with a queue that a killed Jenkins had not written down;
        the numbers since then are given once more (core's Queue saves items and counter once a minute).
        """
        try:
            tree = "why,cancelled,executable[number],actions[parameters[name,value]]"
            item = self.connection.json(f"queue/item/{number}", tree)
        except MissingError:
            return {"cancelled": True}
        return item if is_of(entry, item) else {"cancelled": True}

    def build(self, entry: Entry, known: Known) -> Look:
        """The build by its number; what is new on its console is kept first."""
        path = self.path(entry, known)
        url = f"{self.server.url}{path}/"
        try:
            unfinished = self.read_console(entry, path)
            told = self.connection.json(path, "building,result")
        except MissingError:
            self.ended(entry, known)
            return Look("lost", f"build {known.number} is gone from Jenkins", url=url)
        if told.get("building") or told.get("result") is None or unfinished:
            return Look("running", url=url)
        look = self.outcome(entry, known, str(told["result"]), url)
        if look.state == "ended":
            self.ended(entry, known)
        return look

    def outcome(self, entry: Entry, known: Known, said: str, url: str) -> Look:
        """By the run's own result, which the build archived; without, infrastructure. First its report comes here."""
        path = self.path(entry, known)
        try:
            content = self.connection.read(f"{path}/{FOLDER}/{RESULT}", MOST_RESULT_BYTES)
            result = Result.model_validate_json(content)
        except (MissingError, UnwantedError, ValidationError):
            result = None
        if result is None or result.run != entry.id or (said == "FAILURE" and RESULTS[result.outcome] != "FAILURE"):
            outcome = Outcome.ABORTED if said == "ABORTED" else Outcome.INFRASTRUCTURE
            return Look("ended", f"the build ended with {one_line(said, 20)}", outcome, url=url)
        report = Report(path, known.number or 0, content)
        if not bring(self.connection, report, self.course.run(entry.id), self.clock):
            return Look("running", "its report is on the way here", url=url)
        reason = next((one.reason for one in result.stages if one.status is Status.FAILED), "")
        return Look("ended", reason, result.outcome, result.points, result.max_points, f"{url}Report/")

    def cancel(self, entry: Entry) -> None:
        """Forgets the build and stops it: what was stopped so is no end, and another start makes another build.

        In this order: after a kill in between the next build waits in Jenkins for this one, as a job has one at a time.
        """
        with suppress(MissingError):
            if self.known(entry).number is None:
                self.leave_queue(entry, self.known(entry))
            known = self.known(entry)
            self.ended(entry, known)
            try:
                self.stop(entry, known)
            except AwayError:
                self.keep(entry, known)
                raise

    def stop(self, entry: Entry, known: Known) -> None:
        if known.number is not None:
            self.connection.post(f"{self.path(entry, known)}/stop")
        elif known.queue is not None:
            self.connection.post("queue/cancelItem", {"id": str(known.queue)})

    def find(self, entry: Entry, seen: int) -> Known | None:
        """A build of this submission that is newer than the last one seen, or a queue item: newest first."""
        known = self.known(entry)
        tree = "builds[number,queueId,actions[parameters[name,value]]]{0,50}"
        for build in self.connection.json(job_path(self.job(entry)), tree).get("builds") or ():
            if build["number"] > seen and is_of(entry, build):
                return known.model_copy(update={"queue": None, "number": int(build["number"])})
        for item in self.connection.json("queue", "items[id,actions[parameters[name,value]]]").get("items") or ():
            if is_of(entry, item):
                return known.model_copy(update={"queue": int(item["id"]), "number": None})
        return None

    def read_console(self, entry: Entry, path: str) -> bool:
        """Appends what is new, and says whether more is to come.

        Offsets count Jenkins' own bytes, which are more than it shows: both are kept, and what a kill left
        between writing and keeping is cut off again.
        """
        known = self.known(entry)
        answer = self.connection.get(f"{path}/logText/progressiveText", {"start": known.read})
        more = answer.headers.get("X-More-Data", "").lower() == "true"
        size = console_size(answer)
        if size < known.read:  # another log than before: from its beginning
            known = known.model_copy(update={"read": 0, "kept": 0})
            answer = self.connection.get(f"{path}/logText/progressiveText", {"start": 0})
            size = console_size(answer)
        if size > known.read:  # what came may be nothing all the same: notes that are not shown
            kept = append(self.course.console(entry.id), known.before + known.kept, answer.content)
            self.keep(entry, known.model_copy(update={"read": size, "kept": kept - known.before}))
        return more

    def job(self, entry: Entry) -> str:
        return job_name(entry.course, entry.assignment, entry.student)

    def path(self, entry: Entry, known: Known) -> str:
        return f"{job_path(self.job(entry))}/{known.number}"

    def url(self, entry: Entry) -> str:
        return f"{self.server.url}{job_path(self.job(entry))}/"

    def parameters(self, entry: Entry) -> dict[str, str]:
        return {
            "SUBMISSION_ID": entry.id,
            "COURSE": entry.course,
            "ASSIGNMENT": entry.assignment,
            "STUDENT": entry.student,
            "REPOSITORY": self.repository(entry),
            "COMMIT": entry.new,
            "ARRIVED": entry.arrived.isoformat(),
            "ATTEMPT": str(entry.attempt),
        }

    def repository(self, entry: Entry) -> str:
        """As agents reach it: a path only where they share this server's disk."""
        base = self.server.repositories
        inside = Path(entry.repository).is_relative_to(self.course.repositories)
        if base is None or not inside:
            return entry.repository
        return f"{base.rstrip('/')}/{Path(entry.repository).relative_to(self.course.repositories).as_posix()}"

    def known(self, entry: Entry) -> Known:
        file = self.course.build(entry.id) / "jenkins.json"
        try:
            return Known.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return Known()
        except ValidationError as error:
            raise InfrastructureError(f"{file} cannot be read", hint="remove it: the build is found again") from error

    def keep(self, entry: Entry, known: Known) -> None:
        write_json(self.course.build(entry.id) / "jenkins.json", known.model_dump(mode="json"))

    def ended(self, entry: Entry, known: Known) -> None:
        """From now on a start makes another build, whose console follows this one's."""
        size = self.known(entry)
        self.keep(entry, Known(seen=known.number or known.seen, before=size.before + size.kept))


def is_of(entry: Entry, build: dict[str, Any]) -> bool:
    wanted = {"name": "SUBMISSION_ID", "value": entry.id}
    return any(
        {"name": one.get("name"), "value": one.get("value")} == wanted
        for action in build.get("actions") or ()
        for one in action.get("parameters") or ()
    )


def console_size(answer: requests.Response) -> int:
    """The offset to ask from next. Raises InfrastructureError where it is none."""
    text = answer.headers.get("X-Text-Size", "")
    if not text.isdecimal():
        raise InfrastructureError("Jenkins gave a console without its size", hint="is a proxy removing headers?")
    return int(text)


def append(file: Path, at: int, content: bytes) -> int:
    """Writes `content` at `at`, which is the file's end or lies before what a kill left; the new size."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("ab") as console:
        at = min(at, console.tell())
        console.truncate(at)
        console.write(content)
        console.flush()
        sync(console.fileno(), file.name)
    return at + len(content)
