"""The answers of the stand-in for Jenkins; what they are taken from is in the table of jenkins_server.py."""

from __future__ import annotations

import re
import secrets
import time
import xml.etree.ElementTree as ET
from typing import Any

from flask import Flask, Request, Response, abort, jsonify, request

from support.jenkins_server import Build, Item, JenkinsServer, Job, path_of

UNANSWERED = Response(status=503)
"""It never arrives: whoever asked sees its connection end."""
NOTES = re.compile(rb"\x1b\[8mha:[^\x1b]*\x1b\[0m")


def application(jenkins: JenkinsServer) -> Flask:
    app = Flask("jenkins")
    crumbs: dict[str, str] = {}

    @app.before_request
    def admit() -> Response | None:
        jenkins.requests.append((request.method, request.path))
        jenkins.step(f"before {step_of(request)}")
        if jenkins.is_dead:
            return UNANSWERED
        if jenkins.loading:
            return Response("<h1>Please wait while Jenkins is getting ready to work</h1>", 503)
        user, secret = credentials(request)
        by_token = jenkins.tokens.get(user) == secret
        if not by_token and jenkins.passwords.get(user, object()) != secret:
            return Response("Unauthorized", 401)
        bound = crumbs.get(request.cookies.get("JSESSIONID", ""))
        if request.method == "POST" and not by_token and (not bound or request.headers.get("Jenkins-Crumb") != bound):
            return Response("No valid crumb was included in the request", 403)
        jenkins.advance()
        return UNANSWERED if jenkins.is_dead else None

    @app.after_request
    def mark(answer: Response) -> Response:
        if not jenkins.is_dead:
            jenkins.step(f"after {step_of(request)}")
        answer.headers["X-Jenkins"] = "2.516.3"
        return answer

    @app.get("/api/json")
    def root() -> Response:
        return jsonify(mode="NORMAL", jobs=[{"name": name} for name in jenkins.items if "/" not in name])

    @app.get("/crumbIssuer/api/json")
    def crumb() -> Response:
        session, value = secrets.token_hex(8), secrets.token_hex(16)
        crumbs[session] = value
        answer = jsonify(crumbRequestField="Jenkins-Crumb", crumb=value)
        answer.set_cookie("JSESSIONID", session)
        return answer

    @app.get("/queue/api/json")
    def queue() -> Response:
        waiting = [one for one in jenkins.queue.values() if one.left is None and not one.cancelled]
        return jsonify(items=[queue_item(jenkins, one) for one in waiting])

    @app.get("/queue/item/<int:number>/api/json")
    def item(number: int) -> Response:
        found = jenkins.queue.get(number)
        if found is None or (found.left is not None and time.monotonic() > found.left + jenkins.vanish_s):
            abort(404)
        return jsonify(queue_item(jenkins, found))

    @app.post("/queue/cancelItem")
    def cancel() -> Response:
        found = jenkins.queue.get(int(request.values["id"]))
        if found is not None and found.left is None:
            found.cancelled, found.left = True, time.monotonic()
        return Response(status=204)

    @app.route("/createItem", methods=["POST"])
    def create_at_root() -> Response:
        return create(jenkins, request.args["name"])

    @app.route("/<path:path>", methods=["GET", "POST"])
    def below(path: str) -> Response:
        names, rest = split(path)
        if rest == "createItem":
            readable(jenkins, "/".join(names))
            return create(jenkins, "/".join([*names, request.args["name"]]))
        name = "/".join(names)
        return answer_for(jenkins, name, readable(jenkins, name), rest)

    return app


def step_of(asked: Request) -> str:
    """Method and path, without names and numbers of single objects."""
    _, rest = split(asked.path.strip("/"))
    return f"{asked.method} {re.sub('[0-9]+', 'N', rest)}"


def credentials(asked: Request) -> tuple[str, str]:
    given = asked.authorization
    return (given.username or "", given.password or "") if given and given.type == "basic" else ("", "")


def split(path: str) -> tuple[list[str], str]:
    """`job/ml/job/a/3/consoleText` -> [ml, a], 3/consoleText"""
    parts, names = path.split("/"), []
    while len(parts) > 1 and parts[0] == "job":
        names.append(parts[1])
        parts = parts[2:]
    return names, "/".join(parts)


def readable(jenkins: JenkinsServer, name: str) -> Job:
    """The item; 404 where it is not there or not to be seen by this user."""
    job = jenkins.items.get(name)
    if job is None or not may(job, "Read"):
        abort(404)
    return job


def may(job: Job, permission: str) -> bool:
    user, _ = credentials(request)
    return user == "admin" or job.allows(user, permission)


def create(jenkins: JenkinsServer, name: str) -> Response:
    with jenkins.lock:
        if name in jenkins.items:
            said = f"A job already exists with the name ‘{name.split('/')[-1]}’"
            return Response(said, 400, {"X-Error": said.encode().decode("latin-1")})
        parent = name.rpartition("/")[0]
        if parent and (parent not in jenkins.items or not may(jenkins.items[parent], "Create")):
            abort(403 if parent in jenkins.items else 404)
        xml = request.get_data(as_text=True)
        jenkins.items[name] = Job(xml, disabled=ET.fromstring(xml).findtext("disabled") == "true")
    return Response(status=200)


def answer_for(jenkins: JenkinsServer, name: str, job: Job, rest: str) -> Response:
    if found := re.fullmatch(r"(\d+)/(.+)", rest):
        build = next((one for one in job.builds if one.number == int(found[1])), None)
        if build is None:
            abort(404)
        return answer_for_build(jenkins, name, job, build, found[2])
    if rest == "config.xml" and request.method == "GET":
        return Response(job.xml, mimetype="application/xml")
    if rest in {"config.xml", "enable", "disable"}:
        if not may(job, "Configure"):
            abort(403)
        if rest == "config.xml":
            job.xml = request.get_data(as_text=True)
            job.disabled = job.tree.findtext("disabled") == "true"
        else:
            job.disabled = rest == "disable"
        return Response(status=200)
    if rest == "build" and request.method == "POST":
        return Response("Nothing is submitted", 400 if job.parameters else 201)
    if rest == "buildWithParameters" and request.method == "POST":
        return queued(jenkins, name, job)
    if rest == "api/json":
        return jsonify(described(jenkins, name, job))
    return abort(404)


def queued(jenkins: JenkinsServer, name: str, job: Job) -> Response:
    if not may(job, "Build"):
        abort(403)
    if job.disabled:
        return Response(f"{name} is not buildable", 409)
    if not job.parameters:
        return Response(f"{name} is not parameterized", 400)
    given = {key: request.values.get(key, default) for key, default in job.parameters.items()}
    item, new = jenkins.enqueue(name, given)
    return Response(status=201 if new else 303, headers={"Location": f"{jenkins.url}queue/item/{item.number}/"})


def described(jenkins: JenkinsServer, name: str, job: Job) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": name.split("/")[-1],
        "description": job.tree.findtext("description"),
        "displayName": job.tree.findtext("displayName"),
    }
    if job.is_folder:
        inside = {
            each: one for each, one in jenkins.items.items() if each.rpartition("/")[0] == name and may(one, "Read")
        }
        return told | {"jobs": [described(jenkins, each, one) for each, one in inside.items()]}
    builds = [
        {"number": one.number, "queueId": one.queue, "actions": actions(one.parameters)} for one in reversed(job.builds)
    ]
    color = "disabled" if job.disabled else "notbuilt" if not builds else "blue"
    return told | {"color": color, "buildable": not job.disabled, "builds": builds[:50]}


def queue_item(jenkins: JenkinsServer, item: Item) -> dict[str, Any]:
    told: dict[str, Any] = {"id": item.number, "actions": actions(item.parameters), "task": {"name": item.job}}
    if item.cancelled:
        return told | {"cancelled": True, "why": None}
    if item.build is None:
        return told | {"why": jenkins.why(item), "cancelled": False}
    url = f"{jenkins.url}{path_of(item.job)}/{item.build}/"
    return told | {"why": None, "cancelled": False, "executable": {"number": item.build, "url": url}}


def actions(parameters: dict[str, str]) -> list[dict[str, Any]]:
    return [{}, {"parameters": [{"name": name, "value": value} for name, value in parameters.items()]}]


def answer_for_build(jenkins: JenkinsServer, name: str, job: Job, build: Build, rest: str) -> Response:
    result = build.program.result()
    if rest == "stop" and request.method == "POST":
        if not may(job, "Cancel"):
            abort(403)
        build.program.stop()
        return Response(status=302, headers={"Location": f"{jenkins.url}{path_of(name)}/{build.number}/"})
    if rest == "api/json":
        shown = {"number": build.number, "queueId": build.queue, "actions": actions(build.parameters)}
        listed = [{"relativePath": path} for path in build.program.artifacts_there()]
        return jsonify(shown | {"building": result is None, "result": result, "artifacts": listed})
    if rest == "consoleText":
        return Response(NOTES.sub(b"", build.program.console()), mimetype="text/plain")
    if rest == "logText/progressiveText":
        return progressive(build.program.console(), int(request.args.get("start", 0)), result, jenkins.most_bytes)
    if rest.startswith("artifact/"):
        content = build.program.artifact(rest.removeprefix("artifact/"))
        return abort(404) if content is None else Response(content, mimetype="application/octet-stream")
    return abort(404)


def progressive(log: bytes, start: int, result: str | None, most_bytes: int) -> Response:
    end = len(log) if not most_bytes else min(len(log), start + most_bytes)
    while end < len(log) and inside_note(log, end):
        end += 1
    headers = {"X-Text-Size": str(end)}
    if result is None or end < len(log):
        headers["X-More-Data"] = "true"
    return Response(NOTES.sub(b"", log[start:end]), headers=headers, mimetype="text/plain")


def inside_note(log: bytes, at: int) -> bool:
    """Notes are decoded whole or not at all."""
    return any(found.start() < at < found.end() for found in NOTES.finditer(log))
