"""Pushes that a forge tells of: checked by the course's secret, matched to the roster, spooled, answered. No network.

What an event says is believed only of whose repository moved from where to where; what is fetched is what staff wrote.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, current_app, request
from pydantic import BaseModel, Field, ValidationError

from pipeline.settings import Course
from pipeline.submissions.arrivals import entry_of
from pipeline.submissions.entry import COMMIT, Entry, State, now
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import read_members
from pipeline.submissions.receiving import refusals
from pipeline.submissions.references import BRANCH, Update, politely
from pipeline.submissions.reflogs import Moved
from pipeline.submissions.remotes import owner_of, read_remotes
from pipeline.submissions.spool import Spool
from pipeline.text import one_line

webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")

MOST_BYTES = 4 * 2**20
MOST_DELAY = timedelta(days=7)
"""So long before it is received a push may have been, by the forge's clock: while this server was away."""

INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Forge:
    """Headers by the documentation of each. `prefix` stands before a signature; None: the secret itself is sent."""

    event: str
    push: str
    proof: str
    prefix: str | None
    object: str


FORGES = {
    "github": Forge("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256=", "repository"),
    "gitea": Forge("X-Gitea-Event", "push", "X-Gitea-Signature", "", "repository"),
    "gitlab": Forge("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", None, "project"),
}


class Hosted(BaseModel):
    """A repository as forges tell it: GitHub and Gitea in the first two, GitLab in the others."""

    clone_url: str = Field(default="", max_length=1000)
    ssh_url: str = Field(default="", max_length=1000)
    git_http_url: str = Field(default="", max_length=1000)
    git_ssh_url: str = Field(default="", max_length=1000)
    pushed_at: Any = None

    @property
    def urls(self) -> Iterable[str]:
        return (self.clone_url, self.ssh_url, self.git_http_url, self.git_ssh_url)


class Push(BaseModel):
    ref: str = Field(max_length=240)
    before: str = Field(pattern=COMMIT)
    after: str = Field(pattern=COMMIT)
    forced: bool = False
    repository: Hosted

    @property
    def update(self) -> Update:
        return Update(self.before, self.after, self.ref)


@webhooks.post("/<name>")
def receive(name: str) -> Response:
    """Answers when the push lies in the spool. What is not graded is answered well, or the forge sends it again."""
    course: CourseFolder = current_app.config["COURSE"]
    forge = FORGES.get(name)
    if forge is None or not course.webhook_file.exists():
        abort(404, "there is no webhook here")
    request.max_content_length = MOST_BYTES
    body = request.get_data(cache=False)
    if not is_signed(forge, course, body):
        abort(403, "the signature is not this course's")
    if request.headers.get(forge.event) != forge.push:
        return said(f"nothing to do: only the event {forge.push!r} is graded")
    return said(*accept(course, read_push(forge, body), now()))


def is_signed(forge: Forge, course: CourseFolder, body: bytes) -> bool:
    """In constant time, over the body as it was sent."""
    key = course.webhook_file.read_bytes().strip()
    given = request.headers.get(forge.proof, "").encode("utf-8", "replace")
    if forge.prefix is None:
        return hmac.compare_digest(given, key)
    expected = forge.prefix + hmac.new(key, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(given, expected.encode())


def read_push(forge: Forge, body: bytes) -> Push:
    if request.mimetype != "application/json":
        abort(415, "set the webhook's content type to application/json")
    try:
        told = json.loads(body)
        return Push.model_validate({**told, "repository": told[forge.object]})
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        abort(400, "this is no push event as this forge writes it")


def accept(course: CourseFolder, push: Push, at: datetime) -> list[str]:
    """Spools what is graded; what is said of the push."""
    remote = owner_of(read_remotes(course), push.repository.urls)
    if remote is None or remote.student not in read_members(course):
        return ["nothing to do: this repository is not on the roster"]
    if not push.update.is_graded:
        return politely([push.update]) or [f"nothing to do: only {BRANCH} is graded"]
    if push.update.deletes:
        return [f"nothing to do: {BRANCH} was deleted, and what was submitted stays"]
    spool = Spool(course.spool)
    settings, moved = course.course(), Moved(push.before, push.after, arrival(push, at))
    pushed = entry_of(settings.name, remote.student, remote.assignment, remote.url, moved, attempt=1)

    def placed() -> Entry:
        found = pushed.model_copy(update={"arrived": in_line(pushed, spool.everything())})
        return checked(found, push, settings)

    is_new, entry = spool.add_made(pushed.id, placed), spool.get(pushed.id)
    if not is_new:
        return [f"submission {entry.short} is known already: {entry.state}"]
    return [f"submission {entry.short}: {entry.reason or entry.state}"]


def in_line(entry: Entry, among: Iterable[Entry]) -> datetime:
    """Behind the push that it builds on and before the one that builds on it, in whichever order their events come.

    GitHub tells times by the second, and the others' are those of the events.
    """
    whose, arrived = (entry.student, entry.assignment), entry.arrived
    pushed = [one for one in among if (one.student, one.assignment) == whose]
    first = min((one.arrived for one in pushed if one.old == entry.new), default=None)
    last = max((one.arrived for one in pushed if one.new == entry.old), default=None)
    if first is not None:
        arrived = min(arrived, first - INSTANT)
    return arrived if last is None else max(arrived, last + INSTANT)


def checked(entry: Entry, push: Push, settings: Course) -> Entry:
    """As the hooks would take it: what they refuse is spooled as refused, for the student to see.

    How many attempts were used is left to the dispatcher, which counts when it starts.
    """
    assignment = settings.assignment_of(entry.student, entry.assignment)
    reasons = refusals([push.update], assignment, [], entry.student, entry.arrived)
    if push.forced and not push.update.creates:
        reasons.append(f"{BRANCH} was rewritten (force-push), and what was submitted stays; push a new commit")
    if not reasons:
        return entry
    return entry.model_copy(update={"state": State.REFUSED, "reason": "; ".join(reasons), "ended": entry.arrived})


def arrival(push: Push, at: datetime) -> datetime:
    """When it is received, or, where the forge says when it was pushed (GitHub), then: we may have been away."""
    pushed = push.repository.pushed_at
    if not isinstance(pushed, int) or not at - MOST_DELAY <= (then := datetime_of(pushed)) <= at:
        return at
    return then


def datetime_of(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.max.replace(tzinfo=UTC)


def said(*lines: str) -> Response:
    return Response("".join(f"{one_line(line)}\n" for line in lines), mimetype="text/plain")
