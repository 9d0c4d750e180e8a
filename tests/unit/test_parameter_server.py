"""The parameter server's routes, by the table in docs/parameter-server.md, without a network."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipeline.training.control_routes import make_control_app
from pipeline.training.core import ParameterServer
from pipeline.training.server_settings import ServerSettings
from pipeline.training.worker_routes import make_app

SCHEMA = [
    {"name": "weight", "dtype": "float32", "shape": [2, 3], "trainable": True},
    {"name": "steps", "dtype": "int64", "shape": [], "trainable": False},
    {"name": "mean", "dtype": "float32", "shape": [2], "trainable": False},
]
SIZE = 4 * 8 + 8
TOKENS = {"0": "secret-0", "1": "secret-1", "2": "secret-2"}


def body(gradient: float = 0.0, mean: float = 0.0, steps: int = 0) -> bytes:
    return np.full(6, gradient, "<f4").tobytes() + np.full(2, mean, "<f4").tobytes() + np.int64(steps).tobytes()


class Course:
    """A server with `shards` workers' grants and what they ask, as a test says it."""

    def __init__(self, shards: int = 2, **settings: Any) -> None:
        grants = [{"id": str(one), "token": TOKENS[str(one)], "shard": one} for one in range(shards)]
        values = {"host": "127.0.0.1", "grants": grants, "shards": shards, "learning_rate": 1.0, "momentum": 0.0}
        self.server = ParameterServer(ServerSettings.model_validate(values | {"start_wait_s": 0} | settings))
        self.http: FlaskClient = make_app(self.server).test_client()
        self.control: FlaskClient = make_control_app(self.server).test_client()
        self.sessions: dict[str, str] = {}
        self.sequences: dict[str, int] = {}

    def headers(self, worker: str) -> dict[str, str]:
        session = self.sessions.get(worker, "")
        return {"Worker-Id": worker, "Authorization": f"Bearer {TOKENS.get(worker, '')}", "Worker-Session": session}

    def register(self, worker: str, **more: Any) -> TestResponse:
        response = self.http.post("/registerWorker", json={"id": worker, "token": TOKENS.get(worker)} | more)
        if response.status_code == 200:
            self.sessions[worker] = response.json["session"]
            self.sequences[worker] = response.json["sequence"]
        return response

    def upload(self, worker: str, content: bytes | None = None, schema: Any = None) -> TestResponse:
        text = json.dumps(SCHEMA if schema is None else schema).encode()
        headers = self.headers(worker) | {"Schema-Bytes": str(len(text))}
        content = text + (body() if content is None else content)
        return self.http.post("/putParameters", data=content, headers=headers, content_type="application/octet-stream")

    def push(self, worker: str, content: bytes, **headers: Any) -> TestResponse:
        self.sequences[worker] = self.sequences.get(worker, 0) + 1
        told = {"Sequence": str(self.sequences[worker]), **self.headers(worker)}
        told |= {name.replace("_", "-"): str(value) for name, value in headers.items()}
        content_type = told.pop("Content-Type", "application/octet-stream")
        return self.http.post("/putGradient", data=content, headers=told, content_type=content_type)

    def begin(self, *workers: str) -> Course:
        for worker in workers:
            assert self.register(worker).status_code == 200
        assert self.upload(workers[0]).status_code == 200
        return self

    def weights(self) -> list[float]:
        assert self.server.model is not None
        return [float(one) for one in self.server.model.values.trainable]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.control.get("/control/status").json
        return found


def state(course: Course) -> tuple[Any, ...]:
    """Everything that a refused push must leave as it was."""
    server = course.server
    assert server.model is not None
    shards = [(one.accepted, one.applied, one.pending) for one in server.members.ordered()]
    return server.version, server.model.values.to_bytes(), shards


def test_registration_by_the_table() -> None:
    course = Course()
    assert course.http.post("/registerWorker", json={"description": "no id"}).status_code == 400
    assert course.http.post("/registerWorker", data=b"\x80").status_code == 400
    assert course.http.post("/registerWorker", json={"id": "0", "token": "foreign"}).status_code == 403
    assert course.http.post("/registerWorker", json={"id": "0", "token": "secret-1"}).status_code == 403
    answer = course.register("0")
    assert answer.status_code == 200 and answer.json["parameters_wanted"] and answer.json["shard"] == 0
    assert course.register("0").status_code == 409
    assert course.register("0", session=course.sessions["0"]).status_code == 200
    assert course.http.post("/unregisterWorker", json={}).status_code == 400
    gone = {"id": "0", "token": TOKENS["0"], "session": course.sessions["0"]}
    assert course.http.post("/unregisterWorker", json=gone).status_code == 200
    assert course.http.post("/unregisterWorker", json=gone).status_code == 409


def test_an_open_server_gives_a_taken_id_another() -> None:
    course = Course(0, open=True, grants=[], mode="async")
    answers = [course.http.post("/registerWorker", json={"id": 0}).json for _ in range(3)]
    assert [one["id"] for one in answers] == ["0", "1", "2"]
    assert [one["shard"] for one in answers] == [0, 1, 2]


def test_pushes_by_the_table() -> None:
    course = Course().begin("0", "1")
    assert course.push("0", body(), Content_Type="text/plain").status_code == 400
    course.sequences["0"] -= 1
    stored = course.push("0", body(1, mean=2, steps=3))
    assert stored.status_code == 201 and stored.headers["Wait-For-Version"] == "1"
    updated = course.push("1", body(3, mean=4, steps=1), Accept="application/octet-stream")
    assert updated.status_code == 200 and updated.headers["Parameter-Version"] == "1"
    assert updated.data == body(-2, mean=3, steps=3)
    assert course.http.get("/getVersion", headers=course.headers("0")).json["version"] == 1
    pulled = course.http.get("/getParameter", headers=course.headers("0"))
    assert (pulled.status_code, pulled.data, pulled.mimetype) == (200, updated.data, "application/octet-stream")
    again = course.http.get("/getParameter", headers=course.headers("0") | {"If-None-Match": pulled.headers["ETag"]})
    assert again.status_code == 304
    assert course.http.get("/getParameter?min_version=2", headers=course.headers("0")).status_code == 204
    assert course.http.get("/getParameter?keys=0-9", headers=course.headers("0")).status_code == 501


@pytest.mark.parametrize(
    ("content", "headers", "status", "reason"),
    [
        (body()[:-1], {}, 409, "format"),
        (body() + b"\0", {}, 409, "format"),
        (body(float("nan")), {}, 409, "values"),
        (body(float("inf")), {}, 409, "values"),
        (body(mean=float("nan")), {}, 409, "values"),
        (body(1e6), {}, 409, "norm"),
        (body(1), {"Sequence": 3}, 409, "sequence"),
        (body(1), {"Sequence": 0}, 409, "format"),
        (body(1), {"Position": "0.5"}, 409, "position"),
        (body(1), {"Next_Position": "0.0"}, 409, "position"),
        (body(1), {"Base_Version": 0}, 409, "version"),
        (body(1), {"Base_Version": 2}, 409, "version"),
        (body(1), {"Loss": "nan"}, 409, "format"),
        (body(1), {"Position": "here"}, 409, "format"),
        (body(1), {"Authorization": "Bearer secret-1"}, 403, "token"),
        (body(1), {"Worker_Session": "of another"}, 409, "session"),
        (body(1), {"Worker_Session": ""}, 409, "session"),
        (body(1), {"Worker_Id": "../0"}, 400, "id"),
    ],
    ids=lambda value: f"{len(value)}-bytes" if isinstance(value, bytes) else str(value),
)
def test_a_push_that_does_not_fit_is_refused_and_changes_nothing(
    content: bytes, headers: Mapping[str, Any], status: int, reason: str
) -> None:
    course = Course(1).begin("0")
    assert course.push("0", body(1)).status_code == 200
    before = state(course)
    answer = course.push("0", content, **headers)
    assert (answer.status_code, answer.json["reason"]) == (status, reason)
    assert answer.json["msg"] and state(course) == before


def test_a_repeated_push_changes_nothing_and_gets_the_parameters_again() -> None:
    course = Course(1).begin("0")
    first = course.push("0", body(1), Base_Version=0, Accept="application/octet-stream")
    before = state(course)
    course.sequences["0"] -= 1
    second = course.push("0", body(5), Base_Version=0, Accept="application/octet-stream")
    assert (second.status_code, second.data) == (first.status_code, first.data) and state(course) == before
    course.sequences["0"] -= 1
    told = course.push("0", body(5), Base_Version=0)
    assert "already applied" in told.json["msg"]


def test_initial_values_are_taken_once_and_checked() -> None:
    course = Course()
    course.register("0"), course.register("1")
    assert course.http.get("/getParameter", headers=course.headers("0")).status_code == 404
    assert course.push("0", body()).json["reason"] == "parameters"
    assert course.upload("0", body()[:-1]).status_code == 409
    assert course.upload("0", body(float("nan"))).status_code == 409
    assert course.upload("0", schema=[SCHEMA[0] | {"dtype": "float64"}]).status_code == 409
    assert course.upload("0", schema=[SCHEMA[0] | {"shape": [2**40, 2**40]}]).status_code == 409
    assert course.upload("0", schema=[SCHEMA[0], SCHEMA[0]]).status_code == 409
    assert course.upload("0", schema=[SCHEMA[1]]).status_code == 409
    assert course.server.model is None
    assert course.upload("0", body(1)).status_code == 200
    assert course.upload("1", body(2)).status_code == 200
    assert course.weights() == [1.0] * 6
    assert course.upload("1", schema=SCHEMA[:1], content=bytes(24)).status_code == 409


def test_the_accuracy_is_the_course_s_or_none_yet() -> None:
    course = Course(1)
    assert course.http.get("/getAccuracy", headers=course.headers("0")).json["accuracy"] is None
    assert course.control.post("/control/score", json={"accuracy": 0.97, "version": 12}).status_code == 200
    answer = course.http.get("/getAccuracy", headers=course.headers("0"), data=b"accuracy=1.0").json
    assert (answer["code"], answer["accuracy"], answer["version"]) == (200, 0.97, 12)
    assert course.control.post("/control/score", json={"accuracy": "1"}).status_code == 400


def test_the_coordinator_s_routes_are_not_on_the_workers_address() -> None:
    course = Course(1)
    assert course.http.get("/control/status").status_code == 404
    assert course.http.post("/control/finish").status_code == 404


def test_a_full_queue_answers_503() -> None:
    course = Course(1, queue=1, queue_wait_s=0).begin("0")
    with course.server.queue_slot():
        answer = course.push("0", body(1))
    assert (answer.status_code, answer.json["reason"]) == (503, "busy") and answer.headers["Retry-After"]
    course.sequences["0"] -= 1
    assert course.push("0", body(1)).status_code == 200


def test_too_many_requests_of_one_worker_are_refused() -> None:
    course = Course(1, requests_per_second=5).begin("0")
    course.server.members.clock = lambda: 100.0
    answers = [course.http.get("/getVersion", headers=course.headers("0")).status_code for _ in range(10)]
    assert answers[0] == 200 and answers[-1] == 429


def test_gradients_per_update_are_averaged_for_real() -> None:
    course = Course(0, open=True, grants=[], mode="async", gradients_per_update=4).begin("0")
    statuses = [course.push("0", body(gradient)).status_code for gradient in (1, 2, 3, 6)]
    assert statuses == [201, 201, 201, 200]
    assert course.weights() == [-3.0] * 6


def test_what_is_left_when_the_last_worker_ends_is_not_lost() -> None:
    course = Course(1, mode="async", gradients_per_update=4).begin("0")
    assert course.push("0", body(1)).status_code == 201
    last = course.push("0", body(3), Last=1)
    assert last.status_code == 200 and last.json["finished"] and course.weights() == [-2.0] * 6


def test_sync_gives_the_same_bits_in_any_order_of_arrival() -> None:
    draw = np.random.default_rng(0)
    gradients = {worker: draw.normal(size=6).astype("<f4").tobytes() + body()[24:] for worker in TOKENS}
    found = set()
    for order in ("012", "201", "120"):
        course = Course(3).begin("0", "1", "2")
        for worker in order:
            course.push(worker, gradients[worker])
        assert course.server.version == 1 and course.server.model is not None
        found.add(course.server.model.values.to_bytes())
    assert len(found) == 1


def test_a_push_waits_at_the_barrier_and_brings_the_new_parameters() -> None:
    course = Course().begin("0", "1")
    answers: list[TestResponse] = []

    def push_first() -> None:
        answers.append(course.push("0", body(1), Wait_Seconds=20, Accept="application/octet-stream"))

    waiting = threading.Thread(target=push_first)
    waiting.start()
    while course.server.members.shards[0].pending is None:
        pass
    course.push("1", body(1))
    waiting.join(30)
    assert answers[0].status_code == 200 and answers[0].data == body(-1)


def test_a_lost_worker_leaves_the_barrier_and_its_shard_goes_to_the_next() -> None:
    course = Course().begin("0", "1")
    assert course.push("0", body(1)).status_code == 201
    course.server.members.clock = lambda: 1e9
    course.server.members.workers["0"].lease_until = 2e9
    course.server.sweep()
    assert course.server.version == 1 and list(course.server.members.workers) == ["0"]
    answer = course.register("1").json
    assert (answer["shard"], answer["step"], answer["version"]) == (1, 0, 1)


def test_a_gradient_that_waits_for_its_update_counts_although_its_worker_died() -> None:
    course = Course().begin("0", "1")
    assert course.push("0", body(1)).status_code == 201
    course.control.post("/control/lost", json={"shard": 0})
    answer = course.register("0").json
    assert (answer["step"], answer["min_version"]) == (1, 1)
    assert course.push("1", body(3)).status_code == 200
    assert course.weights() == [-2.0] * 6


def test_bounded_staleness_holds_up_who_is_too_far_ahead() -> None:
    course = Course(mode="bounded-staleness", staleness=2).begin("0", "1")
    answers = [course.push("0", body(1)) for _ in range(3)]
    assert ["Wait-For-Version" in one.headers for one in answers] == [False, False, True]
    assert "Wait-For-Version" not in course.push("1", body(1)).headers


def test_staleness_scales_a_gradient() -> None:
    course = Course(mode="async", scale_by_staleness=True).begin("0", "1")
    course.push("0", body(1), Base_Version=0)
    course.push("1", body(1), Base_Version=0)
    assert course.weights() == [-1.5] * 6


def test_a_finished_run_takes_no_more() -> None:
    course = Course(1).begin("0")
    course.push("0", body(1))
    assert course.control.post("/control/finish").json["version"] == 1
    answer = course.push("0", body(1))
    assert (answer.status_code, answer.json["reason"]) == (409, "finished") and course.server.version == 1


def test_the_status_is_what_the_coordinator_reads() -> None:
    from pipeline.training.status import ServerStatus

    course = Course().begin("0", "1")
    course.push("0", body(1), Loss=0.5, Samples=64, Compute_Seconds=2)
    course.push("1", body(1), Loss=1.5, Samples=32)
    status = ServerStatus.model_validate(course.status())
    assert status.version == 1 and status.losses[0][0] == 1 and status.losses[0][2] == 1.0
    assert status.shards[0].samples == 64 and status.shards[0].compute_s == 2
    assert status.shards[0].bytes_sent == SIZE and status.shards[0].registered
