"""What workers ask of the parameter server over HTTP: the course's routes, and putParameters."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from pipeline.training import requests as read
from pipeline.training.answer import Answer
from pipeline.training.core import ParameterServer
from pipeline.training.members import Worker
from pipeline.training.refusal import RefusalError
from pipeline.training.schema import parse_schema

logger = logging.getLogger(__name__)
SESSION = "Worker-Session"


def make_app(server: ParameterServer) -> Flask:
    """The WSGI application that students' workers reach; nothing of the coordinator's is in it."""
    app = Flask("parameter-server", static_folder=None)
    routes = WorkerRoutes(server)
    for rule, method, view in (
        ("/registerWorker", "POST", routes.register),
        ("/unregisterWorker", "POST", routes.unregister),
        ("/getVersion", "GET", routes.version),
        ("/getParameter", "GET", routes.parameters),
        ("/putParameters", "POST", routes.upload),
        ("/putGradient", "POST", routes.push),
        ("/getAccuracy", "GET", routes.accuracy),
    ):
        app.add_url_rule(rule, view_func=view, methods=[method], endpoint=rule, provide_automatic_options=False)
    add_error_handlers(app, server)
    return app


def add_error_handlers(app: Flask, server: ParameterServer) -> None:
    def refused(error: RefusalError) -> Response:
        server.refused[error.reason] = server.refused.get(error.reason, 0) + 1
        answer = reply(error.status, error.message, reason=error.reason)
        if error.retry_after_s is not None:
            answer.headers["Retry-After"] = f"{error.retry_after_s:.0f}"
        return answer

    def other(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return reply(error.code or 500, error.name, reason="http")
        logger.exception("a request failed")
        return reply(500, "the server failed; its log says why", reason="internal")

    app.register_error_handler(RefusalError, refused)
    app.register_error_handler(Exception, other)


def reply(status: int, message: str, **more: Any) -> Response:
    answer = jsonify({"code": status, "msg": message, **more})
    answer.status_code = status
    return answer


class WorkerRoutes:
    def __init__(self, server: ParameterServer) -> None:
        self.server = server

    def register(self) -> Response:
        """200 with the worker's id, session, shard and where the shard stands; 400; 403; 409 taken; 503 full."""
        asked = read.json_object(request)
        token = read.token(request) or read.text(asked, "token")
        server = self.server
        with server.changed:
            session, description = read.text(asked, "session"), read.text(asked, "description")
            wanted = asked["shard"] if type(asked.get("shard")) is int else -1
            worker = server.members.register(asked["id"], token, session, description, wanted)
            server.changed.notify_all()
            return reply(200, f"worker {worker.id} is registered", **self.standing(worker))

    def standing(self, worker: Worker) -> dict[str, Any]:
        """Where the worker's shard stands, and what it needs to go on there."""
        server, shard = self.server, worker.shard
        return {
            "id": worker.id,
            "session": worker.session,
            "shard": shard.number,
            "epoch": shard.accepted.position.epoch,
            "step": shard.accepted.position.step,
            "steps": shard.accepted.steps,
            "sequence": shard.accepted.sequence,
            "version": server.version,
            "min_version": server.version + 1 if server.must_wait(shard) else server.version,
            "parameters_wanted": server.model is None,
            "schema_sha256": server.model.schema.sha256 if server.model else None,
            "mode": server.settings.mode,
            "lease_s": server.settings.lease_s,
            "global_step": server.global_step,
            "finished": server.ended or shard.accepted.finished,
        }

    def unregister(self) -> Response:
        """200; 400 without id; 403; 409 not registered. `returning` keeps the shard's place at the barrier a while."""
        asked = read.json_object(request)
        token, session = read.token(request) or read.text(asked, "token"), read.text(asked, "session")
        server = self.server
        with server.changed:
            worker = server.members.find(asked["id"], token, session)
            server.members.remove(worker, returning=asked.get("returning") is True)
            server.update_when_due()
            server.changed.notify_all()
        return reply(200, f"worker {worker.id} is unregistered")

    def worker(self) -> Worker:
        """The worker that asks, by its id, token and session. Raises RefusalError."""
        with self.server.changed:
            session = request.headers.get(SESSION, "")
            return self.server.members.find(read.worker_id(request), read.token(request), session)

    def known(self) -> Worker | None:
        """Who may ask for what is the run's own: a worker, or anybody with a token that fits (an open server: any)."""
        if request.headers.get(SESSION):
            return self.worker()
        self.server.members.admit(read.worker_id(request), read.token(request))
        return None

    def version(self) -> Response:
        """200 with the version; `min_version` and `timeout_s` wait for one."""
        self.known()
        server = self.server
        wanted, timeout_s = read.argument(request, "min_version", 0), read.seconds(request, "timeout_s")
        with server.changed:
            server.wait(lambda: server.version >= wanted or server.ended, timeout_s)
            return jsonify({"code": 200, "version": server.version, "finished": server.ended})

    def parameters(self) -> Response:
        """200 with the bytes; 204 when `min_version` did not come in `timeout_s`; 304 by ETag; 404 none yet."""
        if "keys" in request.args:
            raise RefusalError(501, "keys", "a range of keys is reserved: one server holds all of them")
        worker = self.known()
        held = etag_version(request.headers.get("If-None-Match"))
        wanted = read.argument(request, "min_version", 0)
        answer = self.server.pull(worker, wanted, held, read.seconds(request, "timeout_s"))
        if answer.wait_for is not None:
            return binary(204, answer, b"")
        return binary(304 if answer.body is None else 200, answer, answer.body or b"")

    def upload(self) -> Response:
        """200 for the first schema and initial values, and for later ones that have the same schema; 409 others."""
        self.worker()
        server = self.server
        content = read.body(request, at_most=server.settings.max_body)
        length = read.whole(request, "Schema-Bytes", 0)
        schema = parse_schema(content[:length], server.settings.max_body)
        first = server.upload(schema, content[length:])
        message = "taken" if first else "there are parameters already; these were not taken"
        return reply(200, message, version=server.version, schema_sha256=schema.sha256)

    def push(self) -> Response:
        """200 an update was made; 201 stored; 400 content type; 409 with a reason; 503 too busy."""
        worker, server = self.worker(), self.server
        try:
            model = server.model
            if model is None:
                raise RefusalError(409, "parameters", "there are no parameters yet: putParameters brings them")
            accepted = worker.shard.accepted
            gradient = read.gradient(request, model.schema, accepted, server.version)
            worker.shard.figures.bytes_sent += model.schema.size_bytes
            answer = server.push(worker, gradient, read.seconds(request, "timeout_s"))
        except RefusalError:
            worker.shard.figures.refused += 1
            raise
        status = 200 if answer.updated else 201
        if answer.body is not None and read.BINARY in request.headers.get("Accept", ""):
            return binary(status, answer, answer.body)
        done = "an update was made" if answer.updated else "stored, no update yet"
        message = f"already applied: {done}" if answer.repeated else done
        result = reply(status, message, version=answer.version, finished=answer.finished)
        result.headers.update(headers(answer))
        return result

    def accuracy(self) -> Response:
        """200 with the course's last score and its version; null where there is none yet. Takes no data."""
        self.known()
        score = self.server.score
        accuracy, version = score if score else (None, None)
        message = "the course's last score" if score else "there is no score yet"
        return reply(200, message, accuracy=accuracy, version=version)


def headers(answer: Answer) -> dict[str, str]:
    told = {
        "Parameter-Version": str(answer.version),
        "Waited-Seconds": f"{answer.waited_s:.6f}",
        "Global-Step": str(answer.global_step),
        "Finished": "1" if answer.finished else "0",
    }
    return told if answer.wait_for is None else told | {"Wait-For-Version": str(answer.wait_for)}


def binary(status: int, answer: Answer, body: bytes) -> Response:
    return Response(body, status, headers(answer) | {"ETag": f'"v{answer.version}"'}, mimetype=read.BINARY)


def etag_version(tag: str | None) -> int:
    """The version in an If-None-Match that this server gave, else -1."""
    number = (tag or "").strip('"').removeprefix("v")
    return int(number) if read.NUMBER.fullmatch(number) else -1
