"""git over http: `git http-backend` as a CGI program, behind names and tokens. Bodies are streamed both ways."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from io import BufferedReader
from typing import IO

from flask import Blueprint, Response, abort, current_app, request

from pipeline.git_source import ENVIRONMENT
from pipeline.submissions.folder import NAME, CourseFolder
from pipeline.web.access import git_user

git = Blueprint("git", __name__, url_prefix="/git")

CHUNK = 64 * 1024
HEADERS_BYTES = 16 * 1024
SERVICES = {"git-upload-pack", "git-receive-pack"}
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
        abort(404)
    process = subprocess.Popen(
        ["git", "http-backend"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(course, f"/{student}/{assignment}.git/{what}", user),
    )
    assert process.stdin is not None and isinstance(process.stdout, BufferedReader), "both are pipes"
    threading.Thread(target=feed, args=(process.stdin, request.stream), daemon=True).start()
    status, headers = read_head(process.stdout)
    return Response(stream(process, process.stdout), status, headers, direct_passthrough=True)


def environment(course: CourseFolder, path: str, user: str) -> dict[str, str]:
    """What a CGI program is told (RFC 3875); nothing else of the request reaches it."""
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
    if request.content_length is not None:
        told["CONTENT_LENGTH"] = str(request.content_length)
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
    except (OSError, ValueError):
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


def stream(process: subprocess.Popen[bytes], output: BufferedReader) -> Iterator[bytes]:
    """What git says as it comes. A pusher who has gone ends git; what was received and spooled stays."""
    try:
        while chunk := output.read1(CHUNK):
            yield chunk
    except GeneratorExit:
        process.terminate()
        raise
    finally:
        output.close()
        process.wait()
