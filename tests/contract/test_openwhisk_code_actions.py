"""Code actions as `wsk action create NAME hello.py` and `--kind python:3 archive.zip` send them, on our runner."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from frame.processes import Processes
from support.action_sandboxes import SANDBOXES, sandbox_of
from support.code_actions import call, create, zipped
from support.openwhisk import RUNNER, Server

HELLO = """
import os

calls = 0


def main(params):
    global calls
    calls += 1
    print("asked by", params.get("name"))
    return {"greeting": f"hello {params.get('name', 'world')}", "calls": calls}


def other(params):
    return {key: os.environ.get(key) for key in params["variables"]}
"""


@pytest.fixture(scope="module", params=["plain", *SANDBOXES])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    processes = Processes()
    with sandbox_of(request.param, request) as sandbox:
        server = Server(processes, tmp_path_factory.mktemp("state"), {"python:3": RUNNER}, sandbox)
        yield server
        server.stop()
        processes.end()


def test_a_file_runs_and_stays_loaded(server: Server) -> None:
    created = create(server, HELLO)
    assert (created["exec"]["kind"], created["exec"]["binary"]) == ("python:3", False)
    assert call(server, {"name": "Ada"}) == ("success", {"greeting": "hello Ada", "calls": 1})
    assert call(server) == ("success", {"greeting": "hello world", "calls": 2})
    record = server.record(server.start({"name": "Ada"}, "hello"))
    assert [line[31:] for line in record["logs"]] == ["stdout: asked by Ada"]


def test_main_names_the_function_and_the_environment_is_set(server: Server) -> None:
    create(
        server,
        HELLO,
        "python:3",
        main="other",
        parameters=[{"key": "SECRET", "value": {"n": 1}, "init": True}],
        annotations=[{"key": "provide-api-key", "value": True}],
    )
    names = ["SECRET", "__OW_ACTION_NAME", "__OW_API_KEY", "__OW_API_HOST", "__OW_NAMESPACE"]
    status, result = call(server, {"variables": [*names, "__OW_ACTIVATION_ID"]})
    assert status == "success"
    assert len(result.pop("__OW_ACTIVATION_ID")) == 32
    values = ['{"n":1}', "/guest/hello", server.auth, server.apihost, "guest"]
    assert result == dict(zip(names, values, strict=True))


def test_an_archive_brings_packages_and_files(server: Server) -> None:
    files = {
        "__main__.py": "from words.greet import greet\n\n\ndef main(params):\n    return greet(params)\n",
        "main.py": "raise SystemExit('the wrong one')\n",
        "words/__init__.py": "",
        "words/greet.py": "def greet(params):\n    return {'greeting': open('word.txt').read() + params['name']}\n",
        "word.txt": "hello ",
    }
    created = create(server, zipped(files), "python:3")
    assert created["exec"]["binary"] is True
    assert call(server, {"name": "Ada"}) == ("success", {"greeting": "hello Ada"})
    assert server.ask("GET", "actions/hello?code=false").json()["exec"] == {"kind": "python:3", "binary": True}


def test_new_code_replaces_the_old(server: Server) -> None:
    create(server, HELLO)
    call(server)
    new = {"exec": {"kind": "python:3", "code": "def main(params):\n    return {'new': True}\n"}}
    assert server.ask("PUT", "actions/hello?overwrite=true", new).json()["version"] == "0.0.2"
    assert call(server) == ("success", {"new": True})


def test_lines_of_neighbours_do_not_mix(server: Server) -> None:
    code = (
        "import sys, time\n\n\ndef main(params):\n    for number in range(20):\n"
        "        print(params['me'], number)\n        print(params['me'], number, file=sys.stderr)\n"
        "        time.sleep(0.005)\n    return {}\n"
    )
    create(server, code, limits={"memory": 128})
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(lambda me: server.start({"me": me}, "hello"), range(12)))
    for me, activation in enumerate(started):
        lines = [line[31:] for line in server.record(activation)["logs"]]
        for stream in ("stdout", "stderr"):
            assert [one for one in lines if one.startswith(stream)] == [f"{stream}: {me} {n}" for n in range(20)]
        assert len(lines) == 40
