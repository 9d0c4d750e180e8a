"""Stands in for the part of Jenkins that is used here: folders, jobs, queue, builds, console, over HTTP.

What it does, and the lines of the course's notes on Jenkins (reference/jenkins.md) that say so:

| case | lines |
|---|---|
| every answer has X-Jenkins | 88 |
| 503 while it loads, on every path | 51, 91 |
| a restart keeps jobs, queue and builds; connections are refused meanwhile | 32, 51 |
| a killed one forgets what its queue has not written down, and counts from there (core: once a minute) | - |
| createItem: 400 with X-Error where the name is taken; 404 without the folder | 88 |
| config.xml by GET and POST; enable, disable | 13-28, 88 |
| 401 for a wrong token; what a user may not read is 404, as if it were not there | 26-27, 32 |
| an API token needs no crumb; a password does, and the crumb is bound to its session | 36 |
| buildWithParameters: 201 and an absolute Location; parameters that are not declared are dropped | 23-24, 43-44, 89 |
| the same parameters while an item waits: 303 to that item | 35, 44, 89 |
| 409 where the job is disabled, 400 where it has no parameters | 32, 89 |
| `build` without parameters of a job that has some: 400 | 34 |
| a queue item waits with `why`, is buildable, has left with executable{number,url} | 45, 89-90 |
| a job builds one at a time: the second item waits for the first | 69 |
| a queue item is 404 five minutes (adjustable) after it left | 45-46, 90 |
| `cancelled` for an item that was cancelled | 45 |
| builds with queueId and actions[parameters[name,value]], newest first | 47 |
| `building`, and `result` null while it runs | 90 |
| progressiveText: X-Text-Size always, X-More-Data only while unfinished | 48, 91 |
| its chunks end anywhere, inside a line or a character | 48-49 |
| X-Text-Size counts the log's own bytes, which are more than what is shown (console notes) | 48 |
| timestamper's prefix stands in the log itself | 69-70 |
| consoleText, archived artifacts, stop | 49, 74, 90 |
| artifacts[relativePath] of a build (read in Jenkins' own hudson.model.Run, not in the notes) | |

Its builds are `Program`s: the real Jenkinsfile in the harness (`InHarness`), or what a test
says (`Scripted`). The answers themselves are in jenkins_http.py.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flask import has_request_context, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
# a console note: in the log, never in what is shown of it
NOTE = b"\x1b[8mha:////4AAAAA==\x1b[0m"


class Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


class Program(Protocol):
    """What a build runs."""

    def console(self) -> bytes: ...

    def result(self) -> str | None: ...

    def stop(self) -> None: ...

    def artifact(self, path: str) -> bytes | None: ...

    def artifacts_there(self) -> list[str]: ...


@dataclass
class Scripted:
    """A build that does what a test says. `lost` artifacts are listed and not there."""

    log: bytes = b""
    ended: str | None = None
    artifacts: dict[str, bytes] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def console(self) -> bytes:
        return self.log

    def result(self) -> str | None:
        return self.ended

    def stop(self) -> None:
        self.ended = "ABORTED"

    def artifact(self, path: str) -> bytes | None:
        return None if path in self.lost else self.artifacts.get(path)

    def artifacts_there(self) -> list[str]:
        return list(self.artifacts)


@dataclass
class Build:
    number: int
    queue: int
    parameters: dict[str, str]
    program: Program


@dataclass
class Job:
    xml: str
    disabled: bool = False
    builds: list[Build] = field(default_factory=list)

    @property
    def tree(self) -> ET.Element:
        return ET.fromstring(self.xml)

    @property
    def is_folder(self) -> bool:
        return self.tree.tag == FOLDER

    @property
    def parameters(self) -> dict[str, str]:
        found = self.tree.iter("hudson.model.StringParameterDefinition")
        return {one.findtext("name") or "": one.findtext("defaultValue") or "" for one in found}

    def allows(self, user: str, permission: str) -> bool:
        """As the item's own matrix says; items here inherit nothing."""
        granted = {one.text for one in self.tree.iter("permission")}
        return f"USER:hudson.model.Item.{permission}:{user}" in granted


@dataclass
class Item:
    number: int
    job: str
    parameters: dict[str, str]
    since: float
    left: float | None = None
    build: int | None = None
    cancelled: bool = False


Start = Callable[[str, int, dict[str, str], str], Program]
"""job, number, parameters, URL -> the build's program"""


class JenkinsServer:
    """One Jenkins; its state outlives a restart. `tokens`: user -> API token; `admin` may do everything."""

    def __init__(self, start: Start, *, executors: int = 2, quiet_s: float = 0.0, vanish_s: float = 300.0) -> None:
        self.start_build = start
        self.executors, self.quiet_s, self.vanish_s = executors, quiet_s, vanish_s
        self.tokens = {"admin": "admin-token", "dispatcher": "bot-token"}
        self.passwords = {"admin": "admin-password"}
        self.items: dict[str, Job] = {}
        self.queue: dict[int, Item] = {}
        self.requests: list[tuple[str, str]] = []
        self.loading = False
        self.most_bytes = 0
        """of one answer of progressiveText; 0: all there is"""
        self.steps: list[str] = []
        self.die_at = 0
        """Which of its steps it does not survive; 0: it survives all."""
        self.forgets = False
        """Whether a death takes the queue along."""
        self.counter = self.written = 0
        """Items so far, and how many of them a death finds written down."""
        self.lock = threading.RLock()
        self.server: BaseWSGIServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def open(self) -> None:
        from support.jenkins_http import application  # it knows this class

        with self.lock:  # whoever dies holds it until the port is free
            self.server = make_server("127.0.0.1", self.port, application(self), threaded=True, request_handler=Quiet)
        self.port = self.server.server_port
        self.serving = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.serving.start()

    def step(self, name: str) -> None:
        """The one place that all of its steps pass: where it is told to, it dies here, as by SIGKILL."""
        with self.lock:
            self.steps.append(name)
            if len(self.steps) == self.die_at:
                self.die()

    def die(self) -> None:
        """The request at hand is not answered. What runs goes on: a build of a pipeline outlives its controller."""
        self.close()
        if self.forgets:
            self.queue.clear()
            self.counter = self.written
        if has_request_context():
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    @property
    def is_dead(self) -> bool:
        return self.server is None

    def close(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.shutdown()
            self.serving.join()  # which closes its socket, at its own pace

    def end(self) -> None:
        """Closes it and stops its builds."""
        self.close()
        for build in (build for job in self.items.values() for build in job.builds):
            if build.program.result() is None:
                build.program.stop()

    def advance(self) -> None:
        """What the queue does by itself: whoever asks sees it done."""
        with self.lock:
            for item in sorted(self.queue.values(), key=lambda one: one.number):
                if item.left is None and not self.why(item):
                    self.leave(item)

    def leave(self, item: Item) -> None:
        job = self.items[item.job]
        self.step("before a build starts")
        if self.is_dead:
            return
        item.left, item.build = time.monotonic(), len(job.builds) + 1
        url = f"{self.url}{path_of(item.job)}/{item.build}/"
        program = self.start_build(item.job, item.build, item.parameters, url)
        job.builds.append(Build(item.build, item.number, item.parameters, program))
        self.step("after a build started")

    def why(self, item: Item) -> str | None:
        """Why it waits; None where it can start."""
        waits = item.since + self.quiet_s - time.monotonic()
        if waits > 0:
            return f"In the quiet period. Expires in {waits:.1f} sec"
        running = [one for one in self.items[item.job].builds if one.program.result() is None]
        if running:
            return f"Build #{running[0].number} is already in progress (ETA: N/A)"
        busy = sum(one.program.result() is None for job in self.items.values() for one in job.builds)
        return "Waiting for next available executor on ‘submission’" if busy >= self.executors else None

    def enqueue(self, name: str, parameters: dict[str, str]) -> tuple[Item, bool]:
        """The item, and whether it is a new one."""
        with self.lock:
            for item in self.queue.values():
                if item.left is None and not item.cancelled and (item.job, item.parameters) == (name, parameters):
                    return item, False
            self.counter += 1
            item = Item(self.counter, name, parameters, time.monotonic())
            self.queue[item.number] = item
            return item, True


def path_of(name: str) -> str:
    return "/".join(f"job/{part}" for part in name.split("/"))


@contextmanager
def served(start: Start, **options: Any) -> Iterator[JenkinsServer]:
    jenkins = JenkinsServer(start, **options)
    jenkins.open()
    try:
        yield jenkins
    finally:
        jenkins.end()


def course_files(folder: Path, jenkins: JenkinsServer, **changes: Any) -> None:
    """jenkins.toml and the bot's token in a course's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text("bot-token\n")
    values = {"url": jenkins.url, "user": "dispatcher", "token_file": "token", "staff": ["tutor"]} | changes
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    script = '[script]\nrepository = "https://git.example/staff/pipeline.git"\ncredentials = "staff-git"\n'
    (folder / "jenkins.toml").write_text("\n".join([*lines, script]))
