"""npm's `openwhisk`, as it is, with the embedded server."""

from __future__ import annotations

import base64
import io
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from frame.processes import Processes
from support.npm_client import NpmClient
from support.openwhisk import IMAGES, RUNNER, Server

HELLO = "def main(params):\n    print('asked')\n    return {'greeting': 'hello ' + params.get('name', 'world')}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, NpmClient]]:
    processes = Processes()
    server = Server(processes, tmp_path_factory.mktemp("state"), {**IMAGES, "python:3": RUNNER})
    try:
        yield server, NpmClient(processes, server)
    finally:
        server.stop()
        processes.end()


@pytest.fixture
def npm(server: tuple[Server, NpmClient]) -> NpmClient:
    for one in server[1].ok("actions", "list"):
        server[1].ok("actions", "delete", name=one["name"])
    return server[1]


def record(npm: NpmClient, activation: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while "ok" not in (answer := npm("activations", "get", name=activation)):
        assert answer["status"] == 404
        assert time.monotonic() < until
        time.sleep(0.05)
    found: dict[str, Any] = answer["ok"]
    return found


def test_an_action_is_made_called_changed_and_deleted(npm: NpmClient) -> None:
    made = npm.ok("actions", "create", name="hello", action=HELLO, kind="python:default", params={"name": "you"})
    assert (made["version"], made["exec"]["kind"], made["parameters"]) == (
        "0.0.1",
        "python:3",
        [{"key": "name", "value": "you"}],
    )
    again = npm("actions", "create", name="hello", action=HELLO, kind="python:3")
    assert (again["status"], again["body"]["error"]) == (409, "resource already exists")
    changed = npm.ok("actions", "update", name="hello", annotations={"note": 1}, limits={"timeout": 5000})
    assert (changed["version"], changed["limits"]["timeout"]) == ("0.0.2", 5000)
    assert {"key": "note", "value": 1} in changed["annotations"]
    assert npm.ok("actions", "get", name="hello", code=False)["exec"] == {"kind": "python:3", "binary": False}
    assert [one["name"] for one in npm.ok("actions", "list", limit=1)] == ["hello"]
    assert npm.ok("actions", "list", count=True) == {"actions": 1}
    called = npm.ok("actions", "invoke", name="hello", blocking=True, result=True, params={"name": "Ada"})
    assert called == {"greeting": "hello Ada"}
    assert npm.ok("actions", "invoke", name="/_/hello", blocking=True)["response"]["result"] == {
        "greeting": "hello you"
    }
    assert npm.ok("actions", "delete", name="hello")["name"] == "hello"
    missing = npm("actions", "invoke", name="hello")
    assert (missing["status"], missing["body"]["error"]) == (404, "The requested resource does not exist.")


def test_an_archive_and_an_image_are_actions_too(npm: NpmClient) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("__main__.py", "from words import word\n\n\ndef start(params):\n    return {'word': word}\n")
        file.writestr("words.py", "word = 'hi'\n")
    zipped = base64.b64encode(archive.getvalue()).decode()
    npm.ok("actions", "create", name="zip", zip=zipped, kind="python:3", exec={"main": "start"})
    assert npm.ok("actions", "invoke", name="zip", blocking=True, result=True) == {"word": "hi"}
    npm.ok("actions", "create", name="image", action={"exec": {"kind": "blackbox", "image": "action:1"}})
    assert npm.ok("actions", "invoke", name="image", blocking=True, result=True, params={"n": 1})["arguments"] == {
        "n": 1
    }


def test_activations_are_found_with_their_logs(npm: NpmClient) -> None:
    npm.ok("actions", "create", name="hello", action=HELLO, kind="python:3")
    started = npm.ok("actions", "invoke", name="hello", params={"name": "Ada"})["activationId"]
    assert record(npm, started)["response"]["result"] == {"greeting": "hello Ada"}
    assert [line[31:] for line in npm.ok("activations", "logs", name=started)["logs"]] == ["stdout: asked"]
    assert npm.ok("activations", "result", name=started)["result"] == {"greeting": "hello Ada"}
    listed = npm.ok("activations", "list", name="hello", limit=1, docs=True)
    assert (listed[0]["activationId"], "response" in listed[0]) == (started, True)


def test_failures_reach_the_caller_in_words(npm: NpmClient) -> None:
    npm.ok("actions", "create", name="bad", action="def main(params):\n    return 1 / 0\n", kind="python:3")
    failed = npm("actions", "invoke", name="bad", blocking=True)
    assert failed["status"] == 502
    assert "Returned HTTP 502 (Bad Gateway)" in failed["error"]
    assert "ZeroDivisionError" in failed["error"]
    assert failed["body"]["response"]["status"] == "application error"
    default = npm("actions", "create", name="js", action="function main() {}")
    assert (default["status"], "'nodejs:default' is not supported" in default["error"]) == (400, True)
    sequence = npm("actions", "create", name="s", sequence=["/_/a", "/_/b"])
    assert (sequence["status"], "'sequence' is not supported" in sequence["error"]) == (400, True)


@pytest.mark.parametrize("collection", ["packages", "triggers", "rules"])
def test_there_are_no_packages_triggers_and_rules(npm: NpmClient, collection: str) -> None:
    assert npm.ok(collection, "list") == []
    for do in ("get", "delete"):
        missing = npm(collection, do, name="x")
        assert (missing["status"], missing["body"]["error"]) == (404, "The requested resource does not exist.")
    refused = npm(collection, "create", name="x", action="a", trigger="t")
    assert refused["status"] == 400
    assert refused["body"]["error"] == f"This server keeps no {collection}; only actions are run here."


def test_namespaces_and_what_only_a_gateway_has(npm: NpmClient) -> None:
    assert npm.ok("namespaces", "list") == ["guest"]
    assert npm("triggers", "invoke", name="x")["status"] == 404
    assert npm("feeds", "create", feedName="/whisk.system/alarms/alarm", trigger="t")["status"] == 403
    assert npm("routes", "list")["status"] == 404
