"""Idle containers of docker: paused, resumed at the next call, removed later; nothing is lost where one is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from frame.processes import Processes
from support.action_sandboxes import sandbox_of
from support.openwhisk import IMAGES, Server

from pipeline.embedded.docker.owner import OWNER

COUNTS = "calls = []\n\n\ndef main(params):\n    calls.append(1)\n    return {'calls': len(calls)}\n"
PATIENCE_S = 60.0


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path, processes: Processes) -> Iterator[Server]:
    with sandbox_of("docker", request) as sandbox:
        server = Server(processes, tmp_path / "state", IMAGES, sandbox, pause_s=0.5, idle_s=600.0)
        yield server
        server.stop()


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.1)
    return found


def calls(server: Server) -> int:
    response = server.call().json()["response"]
    assert response["success"], response
    return int(response["result"]["calls"])


@pytest.mark.usefixtures("docker_unchanged")
def test_a_paused_container_goes_on_and_one_that_is_gone_is_replaced(
    server: Server, engine: docker.DockerClient
) -> None:
    body = {"exec": {"kind": "python:3", "code": COUNTS}, "limits": {"memory": 128}}
    assert server.ask("PUT", "actions/a", body).status_code == 200
    assert calls(server) == 1

    def paused() -> list[Container]:
        found = engine.containers.list(ignore_removed=True, filters={"status": "paused", "label": OWNER})
        return [one for one in found if one.labels[OWNER].startswith(f"{server.process.pid}:")]

    until(paused)
    assert calls(server) == 2
    until(paused)[0].remove(force=True)
    assert calls(server) == 1
    assert server.pool()["containers"] == 1
