"""What `wsk action create` and `update` send for each of their options: served, or refused with a reason."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from frame.processes import Processes
from support.openwhisk import IMAGES, RUNNER, Server

CODE = "def main(params):\n    return params\n\n\ndef other(params):\n    return {'other': True}\n"
PYTHON = {"kind": "python:default", "code": CODE}
IMAGE = {"kind": "blackbox", "image": "action:1"}
NATIVE = {"kind": "blackbox", "image": "openwhisk/dockerskeleton", "code": "#!/bin/sh\necho {}\n"}
ZIP = base64.b64encode(b"PK\3\4 some").decode()
DOCS = Path(__file__).parents[2] / "docs" / "openwhisk.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    processes = Processes()
    server = Server(processes, tmp_path_factory.mktemp("state"), {**IMAGES, "python:3": RUNNER})
    yield server
    server.stop()
    processes.end()


@pytest.fixture(autouse=True)
def empty(server: Server) -> None:
    server.ask("DELETE", "actions/a")


def pairs(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("_", "-"), "value": value} for key, value in values.items()]


def create(server: Server, **body: Any) -> dict[str, Any]:
    answer = server.ask("PUT", "actions/a?overwrite=false", {"namespace": "_", "name": "a", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def update(server: Server, **body: Any) -> dict[str, Any]:
    """wsk asks for the action first, without its code."""
    assert server.ask("GET", "actions/a?code=false").status_code == 200
    answer = server.ask("PUT", "actions/a?overwrite=true", {"namespace": "_", "name": "a", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refusal(server: Server, **body: Any) -> str:
    answer = server.ask("PUT", "actions/a?overwrite=false", {"namespace": "_", "name": "a", **body})
    assert answer.status_code == 400
    assert server.ask("GET", "actions/a").status_code == 404
    return str(answer.json()["error"])


def annotations(action: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: one["value"] for one in action["annotations"]}


def result(server: Server, arguments: Any = None) -> Any:
    return server.call(arguments).json()["response"]["result"]


def test_kind_and_main(server: Server) -> None:
    created = create(server, exec={"kind": "python:3.11", "code": CODE, "main": "other"})
    assert (created["exec"]["kind"], created["exec"]["main"]) == ("python:3.11", "other")
    assert result(server) == {"other": True}


def test_docker_and_native(server: Server) -> None:
    assert create(server, exec=IMAGE)["exec"] == {"kind": "blackbox", "image": "action:1", "binary": False}
    assert result(server, {"n": 1})["arguments"] == {"n": 1}
    update(server, exec={**IMAGE, "code": ZIP, "main": "start"})
    start = result(server, {"do": "told"})["init"]["value"]
    assert (start["code"], start["binary"], start["main"]) == (ZIP, True, "start")
    update(server, exec=NATIVE)
    answer = server.call()
    assert (answer.status_code, result(server)["error"]) == (
        502,
        "Failed to pull container image 'openwhisk/dockerskeleton'.",
    )


def test_copy_sends_what_it_read(server: Server) -> None:
    server.ask("DELETE", "actions/old")
    body = {"exec": {**PYTHON, "main": "main"}, "parameters": pairs(n=1), "annotations": pairs(note="x")}
    assert server.ask("PUT", "actions/old", body).status_code == 200
    old = server.ask("GET", "actions/old?code=true").json()
    copied = create(server, exec=old["exec"], parameters=old["parameters"], annotations=old["annotations"])
    assert (copied["exec"], copied["parameters"]) == (old["exec"], old["parameters"])
    assert annotations(copied) == annotations(old)
    assert result(server) == {"n": 1}


def test_sequence_is_refused_as_an_unknown_kind(server: Server) -> None:
    error = refusal(server, exec={"kind": "sequence", "components": ["/_/x", "/_/y"]})
    assert "The specified runtime 'sequence' is not supported by this platform." in error


@pytest.mark.parametrize(
    ("web", "status"), [((True, False, True), 200), ((True, True, True), 200), ((False, False, False), 404)]
)
def test_web(server: Server, web: tuple[bool, bool, bool], status: int) -> None:
    asked = pairs(web_export=web[0], raw_http=web[1], final=web[2])
    assert annotations(create(server, exec=PYTHON, annotations=asked)) == {
        "web-export": web[0],
        "raw-http": web[1],
        "final": web[2],
        "provide-api-key": False,
        "exec": "python:3",
    }
    answer = server.anybody("GET", "web/guest/default/a.json?x=1")
    assert answer.status_code == status
    assert ("__ow_query" in answer.json()) == web[1]


def test_web_secure(server: Server) -> None:
    web = pairs(web_export=True, raw_http=False, final=True)
    create(server, exec=PYTHON, annotations=[*web, *pairs(require_whisk_auth=8123456789012345)])
    assert server.anybody("GET", "web/guest/default/a.json").status_code == 401
    secret = {"X-Require-Whisk-Auth": "8123456789012345"}
    assert server.anybody("GET", "web/guest/default/a.json", headers=secret).status_code == 200
    changed = update(server, annotations=web, delAnnotations=["require-whisk-auth"])
    assert "require-whisk-auth" not in annotations(changed)
    assert server.anybody("GET", "web/guest/default/a.json").status_code == 200


def test_annotation_and_param(server: Server) -> None:
    created = create(server, exec=PYTHON, annotations=pairs(note={"n": [1]}), parameters=pairs(p="x", q=[1]))
    assert annotations(created)["note"] == {"n": [1]}
    assert result(server, {"q": 2}) == {"p": "x", "q": 2}
    changed = update(server, parameters=pairs(r=1))
    assert (changed["parameters"], annotations(changed)["note"]) == (pairs(r=1), {"n": [1]})
    assert result(server) == {"r": 1}


@pytest.mark.parametrize(
    ("limit", "good", "bad", "error"),
    [
        ("timeout", 300_000, 300_001, "duration 300001 milliseconds exceeds allowed threshold of 300000 milliseconds"),
        ("memory", 128, 1024, "memory size 1024 MB exceeds allowed threshold of 512 MB"),
        ("logs", 0, 11, "log size 11 MB exceeds allowed threshold of 10 MB"),
        ("concurrency", 1, 2, "concurrency 2 exceeds allowed threshold of 1"),
    ],
)
def test_timeout_memory_logsize_concurrency(server: Server, limit: str, good: int, bad: int, error: str) -> None:
    assert refusal(server, exec=PYTHON, limits={limit: bad}) == f"requirement failed: {error}"
    assert create(server, exec=PYTHON, limits={limit: good})["limits"][limit] == good


def test_every_option_is_in_the_table() -> None:
    table = DOCS.read_text(encoding="utf-8")
    options = ["kind", "main", "docker", "native", "copy", "sequence", "web", "web-secure", "annotation", "param"]
    files = ["annotation-file", "param-file", "del-annotation"]
    for option in [*options, *files, "timeout", "memory", "logsize", "concurrency"]:
        assert f"`--{option}" in table, option
