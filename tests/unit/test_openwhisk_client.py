"""The REST client against a server that answers as it is told: what is tried again, what is not, whose fault it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.backends.functions import Action, ActionLimits
from pipeline.backends.functions.openwhisk import TRIES, OpenWhiskClient
from pipeline.errors import CourseError, InfrastructureError, ThrottledError

ACCEPTED = (202, {"activationId": "f" * 32})
ACTION = Action("a", "image:1", ActionLimits(256, 60, 10), {"x": 1})


class Script:
    """Answers in their order (a status of 0 closes the connection), and what was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.slept: list[float] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                script.asked.append((self.command, self.path, json.loads(body) if body else None))
                status, content = script.answers.pop(0)
                if not status:
                    self.close_connection = True
                    return
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = handle_any

        return Handler

    def client(self) -> OpenWhiskClient:
        return OpenWhiskClient(f"http://127.0.0.1:{self.server.server_port}", "u:k", sleep=self.slept.append)


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    yield made
    made.server.shutdown()
    made.server.server_close()


def refusal(text: str) -> dict[str, str]:
    return {"error": text, "code": "x" * 32}


@pytest.mark.parametrize(
    ("said", "least_s", "most_s"),
    [
        ("Too many concurrent requests in flight (count: 30, allowed: 30).", 1, 10),
        ("Too many requests in the last minute (count: 61, allowed: 60).", 0, 62),
    ],
)
def test_a_throttled_invocation_is_its_callers_to_repeat(
    script: Script, said: str, least_s: float, most_s: float
) -> None:
    script.answers = [(429, refusal(said))]
    with pytest.raises(ThrottledError, match="Too many") as caught:
        script.client().invoke("a", {"n": 1})
    assert least_s <= caught.value.wait_s <= most_s
    assert len(script.asked) == 1 and script.slept == [], "whoever invokes has others to look after"


def test_other_throttled_calls_wait_and_use_up_no_tries(script: Script) -> None:
    script.answers = [(429, refusal("slow down"))] * (TRIES + 2) + [(200, {})]
    script.client().put_action(ACTION)
    assert len(script.asked) == TRIES + 3
    script.answers = [(429, refusal("Too many requests in the last minute (count: 61, allowed: 60)."))] * 1000
    with pytest.raises(InfrastructureError, match="last minute"):
        script.client().put_action(ACTION)
    assert sum(script.slept) >= 240


def test_a_balancer_without_a_server_is_asked_again(script: Script) -> None:
    script.answers = [(503, "no upstream"), ACCEPTED]
    assert script.client().invoke("a", {}) == "f" * 32
    script.answers = [(503, "no upstream")] * TRIES
    with pytest.raises(InfrastructureError, match="no upstream"):
        script.client().invoke("a", {})


def test_behind_a_bad_gateway_an_activation_may_have_started(script: Script) -> None:
    script.answers = [(502, "bad gateway"), ACCEPTED]
    with pytest.raises(InfrastructureError, match="bad gateway"):
        script.client().invoke("a", {})
    assert len(script.asked) == 1
    script.answers = [(502, "bad gateway"), (200, {})]
    script.client().put_action(ACTION)


def test_a_namespaces_own_limits_go_before_the_servers(script: Script) -> None:
    about = {"limits": {"max_action_memory": 512 * 2**20, "max_action_duration": 300_000, "actions_per_minute": 60}}
    script.answers = [(200, about), (200, {"maxActionMemory": 1024, "invocationsPerMinute": 10})]
    limits = script.client().server_limits()
    assert limits == {"max_action_memory": 2**30, "max_action_duration": 300_000, "actions_per_minute": 10}


def test_the_actions_of_a_run_are_told_by_their_annotation(script: Script) -> None:
    def listed(name: str, run: str) -> dict[str, Any]:
        return {"name": name, "annotations": [{"key": "exec", "value": "blackbox"}, {"key": "run", "value": run}]}

    script.answers = [(200, [listed("r-1-train", "r-1")] * 200), (200, [listed("r-train", "r"), {"name": "r-old"}])]
    assert script.client().action_names("r") == ["r-train"]
    assert [path for _, path, _ in script.asked] == [
        "/api/v1/namespaces/_/actions?limit=200&skip=0",
        "/api/v1/namespaces/_/actions?limit=200&skip=200",
    ]


def test_a_lost_connection_never_starts_a_second_activation(script: Script) -> None:
    script.answers = [(0, None), ACCEPTED]
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        script.client().invoke("a", {})
    assert len(script.asked) == 1
    script.answers = [(0, None), (200, {})]
    script.client().put_action(ACTION)


def test_no_server_is_named(script: Script) -> None:
    script.server.shutdown()  # a thread that still waits on the closed socket would keep it listening
    script.server.server_close()
    with pytest.raises(InfrastructureError, match=r"127\.0\.0\.1.* cannot be reached"):
        script.client().invoke("a", {})
    assert len(script.slept) == TRIES - 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, CourseError), (401, CourseError), (403, CourseError), (413, CourseError), (500, InfrastructureError)],
)
def test_refusals_carry_the_servers_own_text(script: Script, status: int, error: type[Exception]) -> None:
    script.answers = [(status, refusal("memory size 1024 MB exceeds allowed threshold of 512 MB"))]
    with pytest.raises(error, match="exceeds allowed threshold"):
        script.client().put_action(ACTION)


def test_answers_of_something_else_are_named(script: Script) -> None:
    script.answers = [(200, "<html>"), (200, {"hello": 1}), (200, {"activationId": "x"})]
    with pytest.raises(InfrastructureError, match="no JSON object"):
        script.client().server_limits()
    with pytest.raises(InfrastructureError, match="no OpenWhisk"):
        script.client().server_limits()
    with pytest.raises(InfrastructureError, match="cannot be read"):
        script.client().activation("x")


def test_what_is_absent_is_no_error(script: Script) -> None:
    script.answers = [(404, refusal("The requested resource does not exist."))] * 3
    client = script.client()
    client.delete_action("a b")
    assert client.activation("x") is None
    assert client.logs("x") == ()
    assert script.asked[0][:2] == ("DELETE", "/api/v1/namespaces/_/actions/a%20b")
