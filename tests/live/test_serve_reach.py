"""What actions of `pipeline serve` reach: OpenWhisk's API, the store, what staff named; nothing else of the host."""

from __future__ import annotations

import json
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from frame.processes import Processes
from support.by_hand import PATIENCE_S, PIPELINE, read, serve

ASKS = """
import os, socket, urllib.error, urllib.request
def main(params):
    try:
        status = urllib.request.urlopen(os.environ["__OW_API_HOST"] + "/api/v1/namespaces", timeout=30).status
    except urllib.error.HTTPError as error:
        status = error.code
    found = {"api": status, "data": urllib.request.urlopen(params["url"], timeout=30).read().decode()}
    for name in ("named", "not_named"):
        host, port = params[name].rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), timeout=5) as one:
                found[name] = one.recv(100).decode()
        except OSError:
            found[name] = "nothing"
    return found
"""


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Two servers of this host that answer, host:port of each."""

    class Says(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"the host")

    with ExitStack() as stack:
        servers = [stack.enter_context(socketserver.ThreadingTCPServer(("0.0.0.0", 0), Says)) for _ in range(2)]
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        yield [f"127.0.0.1:{server.server_address[1]}" for server in servers]


@pytest.mark.parametrize("sandbox", ["process", "docker"])
def test_an_action_reaches_the_api_the_store_and_what_was_named(
    sandbox: str, processes: Processes, said: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if sandbox == "docker":
        request.getfixturevalue("default_base")
        request.getfixturevalue("docker_unchanged")
    named, not_named = said
    process, ready = serve(processes, tmp_path, "--sandbox", sandbox, "--reach", named)
    told = read(ready)
    assert set(told["inside"]) == {"openwhisk", "store", named}
    url = put(ready, tmp_path, "some rows")
    auth = tuple(told["openwhisk"]["auth"].split(":"))
    actions = f"{told['openwhisk']['apihost']}/api/v1/namespaces/_/actions/asks"
    made = requests.put(actions, json={"exec": {"kind": "python:3", "code": ASKS}}, auth=auth, timeout=PATIENCE_S)
    assert made.status_code == 200, made.text
    inside = told["inside"]
    # at the address inside, the port is the one of what was not named
    given = {
        "url": url,
        "named": inside[named],
        "not_named": inside[named].split(":")[0] + f":{not_named.split(':')[1]}",
    }
    answer = requests.post(f"{actions}?blocking=true", json=given, auth=auth, timeout=PATIENCE_S).json()
    assert answer["response"]["result"] == {
        "api": 401,
        "data": "some rows",
        "named": "the host",
        "not_named": "nothing",
    }, answer
    process.terminate()
    shown, _ = process.communicate(timeout=PATIENCE_S)
    assert f"{named}: {inside[named]}" in shown


def put(ready: Path, folder: Path, content: str) -> str:
    """A file in the store; its URL for actions."""
    file = folder / "rows.txt"
    file.write_text(content)
    command = [*PIPELINE, "data", "put", str(file), "--servers", str(ready), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    uploaded: dict[str, Any] = json.loads(done.stdout)
    return str(uploaded.get("url_inside") or uploaded["url"])


@pytest.mark.parametrize("wrong", ["db", "db:0", "http://db:80"])
def test_what_is_no_address_is_refused_with_an_example(wrong: str, tmp_path: Path) -> None:
    command = [*PIPELINE, "serve", "--state", str(tmp_path / "state"), "--reach", wrong]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert refused.returncode == 2
    assert f"--reach {wrong}" in refused.stderr and "such as" in refused.stderr
