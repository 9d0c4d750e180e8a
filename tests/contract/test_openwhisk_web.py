"""Web actions as `wsk action create --web true|raw` makes them, asked by anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from frame.processes import Processes
from support.openwhisk import Server

WEB = {"web-export": True, "raw-http": False, "final": True}
RAW = {**WEB, "raw-http": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    processes = Processes()
    server = Server(processes, tmp_path_factory.mktemp("state"))
    yield server
    server.stop()
    processes.end()


def put(server: Server, annotations: dict[str, Any], parameters: dict[str, Any] | None = None) -> None:
    server.ask("DELETE", "actions/a")
    pairs = ([{"key": key, "value": one} for key, one in each.items()] for each in (annotations, parameters or {}))
    server.put(annotations=next(pairs), parameters=next(pairs))


def ask(server: Server, rest: str, method: str = "GET", **more: Any) -> requests.Response:
    url = f"{server.apihost}/api/v1/web/guest/{rest}"
    return requests.request(method, url, timeout=60, allow_redirects=False, **more)


def test_anybody_may_call_and_the_action_is_told_how(server: Server) -> None:
    put(server, WEB)
    answer = ask(server, "default/a.json/some/where?x=1", "POST", json={"y": [2]}, headers={"X-Own": "mine"})
    told = answer.json()["arguments"]
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert (told["x"], told["y"], told["__ow_method"], told["__ow_path"]) == ("1", [2], "post", "/some/where")
    assert (told["__ow_headers"]["x-own"], "__ow_user" in told) == ("mine", False)
    record = server.record(answer.headers["x-openwhisk-activation-id"])
    assert (record["name"], record["subject"], record["response"]["success"]) == ("a", "guest", True)
    user, _, key = server.auth.partition(":")
    assert ask(server, "default/a.json", auth=(user, key)).json()["arguments"]["__ow_user"] == "guest"


def test_a_result_can_be_a_whole_answer(server: Server) -> None:
    put(server, WEB)
    result = {"statusCode": 302, "headers": {"Location": "/next", "Set-Cookie": ["a=1", "b=2"]}}
    moved = ask(server, "default/a", "POST", json={"do": "result", "result": result})
    assert (moved.status_code, moved.headers["Location"], moved.text) == (302, "/next", "")
    assert moved.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    page = ask(server, "default/a.html", "PUT", json={"do": "result", "result": {"html": "<p>"}})
    assert (page.text, page.headers["Content-Type"]) == ("<p>", "text/html; charset=UTF-8")


def test_raw_actions_get_query_and_body_as_they_came(server: Server) -> None:
    put(server, RAW)
    told = ask(server, "default/a.json?a=1&b", "POST", data=b"\xff", headers={"Content-Type": "image/png"}).json()
    assert (told["arguments"]["__ow_query"], told["arguments"]["__ow_body"]) == ("a=1&b", "/w==")


@pytest.mark.parametrize("rest", ["default/none.json", "default/a.json", "package/a.json"])
def test_what_is_no_web_action_is_not_there(server: Server, rest: str) -> None:
    put(server, {**WEB, "web-export": False} if rest == "default/a.json" else WEB)
    answer = ask(server, rest)
    assert (answer.status_code, answer.json()["error"]) == (404, "The requested resource does not exist.")
    assert answer.json()["code"] == answer.headers["X-Request-ID"]
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_path_without_an_action_is_the_apis(server: Server) -> None:
    assert ask(server, "default").status_code == 401
    other = requests.get(f"{server.apihost}/api/v1/web/nobody/default/a.json", timeout=60)
    assert (other.status_code, other.json()["error"]) == (404, "The requested resource does not exist.")


def test_parameters_that_are_final_or_reserved_are_refused(server: Server) -> None:
    put(server, WEB, {"bound": 1, "free": None})
    for query, status in (("bound=2", 400), ("__ow_user=me", 400), ("free=2", 200)):
        answer = ask(server, f"default/a.json?{query}")
        assert answer.status_code == status
    assert ask(server, "default/a.json?bound=2").json()["error"] == (
        "Request defines parameters that are not allowed (e.g., reserved properties)."
    )
    refused = server.call({"bound": 2})
    assert (refused.status_code, "not allowed" in refused.json()["error"]) == (400, True)
    assert server.call({"free": 2}).json()["response"]["result"]["arguments"] == {"bound": 1, "free": 2}


def test_secured_actions_ask_for_their_secret_or_a_key(server: Server) -> None:
    def status(**headers: str) -> int:
        return ask(server, "default/a.json", headers=headers).status_code

    put(server, {**WEB, "require-whisk-auth": 42})
    assert [status(), status(**{"X-Require-Whisk-Auth": "41"}), status(**{"X-Require-Whisk-Auth": "42"})] == [
        401,
        401,
        200,
    ]
    refused = ask(server, "default/a.json")
    assert refused.json()["error"] == "Authentication is possible but has failed or not yet been provided."
    assert "WWW-Authenticate" not in refused.headers
    put(server, {**WEB, "require-whisk-auth": "word"})
    assert [status(), status(**{"X-Require-Whisk-Auth": "word"})] == [401, 200]
    put(server, {**WEB, "require-whisk-auth": True})
    user, _, key = server.auth.partition(":")
    assert [status(), ask(server, "default/a.json", auth=(user, key)).status_code] == [401, 200]


def test_failures_are_told_without_what_happened(server: Server) -> None:
    put(server, WEB)
    crashed = ask(server, "default/a.json?do=exit")
    assert (crashed.status_code, crashed.json()["error"]) == (400, "There was an error processing your request.")
    described = {"do": "result", "result": {"error": {"statusCode": 418, "body": "short and stout"}}}
    teapot = ask(server, "default/a", "POST", json=described)
    assert (teapot.status_code, teapot.text) == (418, "short and stout")


def test_options_are_answered_for_the_action_or_by_it(server: Server) -> None:
    put(server, WEB)
    answer = ask(server, "default/a.json", "OPTIONS", headers={"Access-Control-Request-Headers": "x-own"})
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["Access-Control-Allow-Headers"] == "x-own"
    put(server, {**WEB, "web-custom-options": True})
    own = ask(server, "default/a.json", "OPTIONS")
    assert own.json()["arguments"]["__ow_method"] == "options"
    assert "Access-Control-Allow-Origin" not in own.headers


def test_bodies_are_bounded(server: Server) -> None:
    put(server, WEB)
    large = ask(server, "default/a.json", "POST", data="x" * 1_200_000)
    assert (large.status_code, large.json()["error"]) == (
        413,
        "Request larger than allowed: 1200000 > 1048576 bytes.",
    )
    deep = ask(
        server, "default/a.json", "POST", data="[" * 900 + "]" * 900, headers={"Content-Type": "application/json"}
    )
    assert (deep.status_code, "nested" in deep.json()["error"]) == (400, True)
