"""git over http: `git http-backend` as a CGI program, behind names and tokens. Bodies are streamed both ways."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import BufferedReader
from typing import IO

from flask import Blueprint, Response, abort, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import ClosingIterator

from pipeline.git_process import BOUNDED, ENVIRONMENT
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.names import NAME
from pipeline.web.access import git_user
from pipeline.web.bounds import Bound

git = Blueprint("git", __name__, url_prefix="/git")

CHUNK = 64 * 1024
MOST_BYTES = 2**40
"""No bound: that of a push is git's, which the repository's settings name."""
HEADERS_BYTES = 16 * 1024
SERVICES = {"git-upload-pack", "git-receive-pack"}
PUSH = "git-receive-pack"
# a body of little bytes can ask for much memory: references without end in gzip, deltas of deltas
BACKEND = (*BOUNDED, "git", "http-backend")
PROTOCOL = re.compile(r"version=[0-2]")


@git.get("/<student>/<assignment>.git/info/refs")
def references(student: str, assignment: str) -> Response:
    if request.args.get("service") not in SERVICES:
        abort(403, "only git's smart protocol is spoken here")
    return serve(student, assignment, "info/refs")


@git.post("/<student>/<assignment>.git/<service>")
def exchange(student: str, assignment: str, service: str) -> Response:
    if service not in SERVICES or request.mimetype != f"application/x-{service}-request":
        abort(404)
    return serve(student, assignment, service)


def serve(student: str, assignment: str, what: str) -> Response:
    """Only the own repository exists for a member."""
    course: CourseFolder = current_app.config["COURSE"]
    user = git_user(course)
    if user != student or not NAME.fullmatch(assignment) or not course.repository(student, assignment).is_dir():
        abort(404, f"you are {user}, and this is no repository of yours: they are /git/{user}/ASSIGNMENT.git")
    request.max_content_length = MOST_BYTES
    told = environment(course, f"/{student}/{assignment}.git/{what}", user)
    with ExitStack() as held:
        running: Bound = current_app.config["GIT"]
        if not running.take(user):
            abort(429, "so many of your pushes and fetches run already: wait for one of them to end, then try again")
        held.callback(running.give_back, user)
        if what == PUSH:
            followed: Bound = current_app.config["FOLLOWED"]
            if followed.take(user):
                held.callback(followed.give_back, user)
            else:
                told["PIPELINE_PUSH_FOLLOWS"] = "briefly"
        backend = Backend(told, request.stream, request.environ.get("gunicorn.socket"))
        held.callback(backend.end)
        status, headers = read_head(backend.output)
        # not by the response's call_on_close: what is passed through directly is closed by the server without it
        chunks = ClosingIterator(backend.chunks(), held.pop_all().close)
    return Response(chunks, status, headers, direct_passthrough=True)


class Backend:
    """One `git http-backend`, fed with a request's body while its answer is read."""

    def __init__(self, told: dict[str, str], body: IO[bytes], connection: socket.socket | None) -> None:
        self.process = subprocess.Popen(
            BACKEND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=told
        )
        assert self.process.stdin is not None and isinstance(self.process.stdout, BufferedReader), "both are pipes"
        self.output, self.connection, self.said_all = self.process.stdout, connection, False
        self.feeder = threading.Thread(target=feed, args=(self.process.stdin, body), daemon=True)
        self.feeder.start()

    def chunks(self) -> Iterator[bytes]:
        """What git says as it comes."""
        while chunk := self.output.read1(CHUNK):
            yield chunk
        self.said_all = True

    def end(self) -> None:
        """Called whatever has become of the answer. A pusher who has gone ends git; what was received stays.

        Nobody else may read from the connection before the feeder has left it.
        """
        if not self.said_all:
            self.process.terminate()
        self.output.close()
        self.process.wait()
        if self.feeder.is_alive() and self.connection is not None:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RD)
        self.feeder.join()


def environment(course: CourseFolder, path: str, user: str) -> dict[str, str]:
    """What a CGI program is told (RFC 3875); nothing else of the request reaches it.

    Not CONTENT_LENGTH: git (2.39) turns round for ever where a body ends before its length; without it, it reads on
    to the end that we give it.
    """
    told = {
        "GIT_PROJECT_ROOT": str(course.repositories),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": f"service={request.args['service']}" if request.method == "GET" else "",
        "CONTENT_TYPE": request.content_type or "",
        "REMOTE_USER": user,
        "REMOTE_ADDR": "http",
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    }
    if request.headers.get("Content-Encoding") == "gzip":
        told["HTTP_CONTENT_ENCODING"] = "gzip"
    if PROTOCOL.fullmatch(request.headers.get("Git-Protocol", "")):
        told["GIT_PROTOCOL"] = request.headers["Git-Protocol"]
    settings = {
        "http.receivepack": "true",
        "http.getanyfile": "false",
        "safe.directory": "*",
    }
    told["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings.items()):
        told[f"GIT_CONFIG_KEY_{number}"], told[f"GIT_CONFIG_VALUE_{number}"] = key, value
    kept = {name: value for name, value in ENVIRONMENT.items() if name not in told}
    followed = {name: value for name, value in os.environ.items() if name.startswith("PIPELINE_")}
    return kept | followed | told


def feed(pipe: IO[bytes], body: IO[bytes]) -> None:
    try:
        with pipe:
            while chunk := body.read(CHUNK):
                pipe.write(chunk)
                pipe.flush()
    except (OSError, ValueError, HTTPException):
        pass  # git has ended, or the pusher has gone: its answer says so


def read_head(output: BufferedReader) -> tuple[int, list[tuple[str, str]]]:
    status, headers, read = 200, [], 0
    while (line := output.readline(HEADERS_BYTES)) not in {b"\r\n", b"\n", b""} and read < HEADERS_BYTES:
        read += len(line)
        name, _, value = line.decode("latin-1").strip().partition(": ")
        if name.lower() == "status":
            status = int(value[:3])
        else:
            headers.append((name, value))
    return (status, headers) if read else (500, [])
