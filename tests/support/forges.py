"""Events of Gitea, GitLab and GitHub as these send them, and a course that is told of them."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.references import REF
from pipeline.submissions.remotes import webhook_secret
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student
from pipeline.web.app import create_app
from support.submissions import ScriptedBuilds, course_folder

OLD, NEW = "1" * 40, "2" * 40
NOTHING = "0" * 40
URL = "https://git.example/ada/mnist.git"


def github(**values: Any) -> dict[str, Any]:
    """The part of GitHub's documented payload that matters here, and some that does not."""
    repository = {"id": 1, "full_name": "ada/mnist", "private": True, "clone_url": URL, "pushed_at": None}
    told = {"ref": REF, "before": OLD, "after": NEW, "forced": False, "repository": repository, "commits": []}
    return told | {"pusher": {"name": "ada"}} | values


def gitea(**values: Any) -> dict[str, Any]:
    repository = {"clone_url": URL, "ssh_url": "git@git.example:ada/mnist.git", "html_url": URL.removesuffix(".git")}
    return {"ref": REF, "before": OLD, "after": NEW, "repository": repository, "total_commits": 1} | values


def gitlab(**values: Any) -> dict[str, Any]:
    project = {"id": 15, "git_http_url": URL, "git_ssh_url": "git@git.example:ada/mnist.git", "default_branch": "main"}
    told = {"object_kind": "push", "ref": REF, "before": OLD, "after": NEW, "checkout_sha": NEW, "project": project}
    return told | {"repository": {"name": "mnist", "url": "git@git.example:ada/mnist.git"}} | values


PAYLOADS: dict[str, Callable[..., dict[str, Any]]] = {"github": github, "gitea": gitea, "gitlab": gitlab}


class Site:
    def __init__(self, folder: Path) -> None:
        self.course: CourseFolder = course_folder(folder)
        add_student(self.course, "ada", (), {"mnist-train": URL})
        self.secret = webhook_secret(self.course)
        self.client: FlaskClient = create_app(self.course, ScriptedBuilds()).test_client()
        self.spool = Spool(self.course.spool)

    def other(self) -> Site:
        """For another thread: one client sends one event at a time."""
        found = copy.copy(self)
        found.client = self.client.application.test_client()
        return found

    def send(self, forge: str, told: Any, *, secret: str | None = None, event: str | None = None) -> TestResponse:
        return self.post(
            forge, json.dumps(told).encode(), self.headers(forge, json.dumps(told).encode(), secret, event)
        )

    def headers(self, forge: str, body: bytes, secret: str | None = None, event: str | None = None) -> dict[str, str]:
        key = self.secret if secret is None else secret
        signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        proof = {
            "github": {"X-Hub-Signature-256": f"sha256={signature}"},
            "gitea": {"X-Gitea-Signature": signature, "X-Hub-Signature-256": f"sha256={signature}"},
            "gitlab": {"X-Gitlab-Token": key},
        }[forge]
        names = {"github": "X-GitHub-Event", "gitea": "X-Gitea-Event", "gitlab": "X-Gitlab-Event"}
        push = "Push Hook" if forge == "gitlab" else "push"
        return proof | {names[forge]: event or push, "Content-Type": "application/json"}

    def post(self, forge: str, body: bytes, headers: dict[str, str]) -> TestResponse:
        return self.client.post(f"/webhooks/{forge}", data=body, headers=headers)

    def spooled(self) -> list[Entry]:
        return [*self.spool.active(), *self.spool.over()]
