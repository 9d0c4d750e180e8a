"""What was noted of a real OpenWhisk's throttles, to the letter."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from frame.processes import Processes
from support.openwhisk import Server, ask_noted
from support.recordings import PROBE_COMMAND, notes

Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path, processes: Processes) -> Iterator[Start]:
    started: list[Server] = []

    def begin(**settings: Any) -> Server:
        started.append(Server(processes, tmp_path, {"probe:1": PROBE_COMMAND}, **settings))
        return started[-1]

    yield begin
    for server in started:
        server.stop()


def test_a_minutes_invocations_are_counted_as_noted(start: Start) -> None:
    noted = notes("6-throttles")
    server = start(invocations_per_minute=60)
    limits = json.loads(noted["limits"]["answer"])
    assert server.ask("GET", "limits").json() == limits
    ask_noted(server, noted["c"])
    while time.time() % 60 > 40:
        time.sleep(0.5)
    assert ask_noted(server, noted["warm"]).status_code == 200
    fast = {**noted["rate: invoke 59"], "path": noted["rate: invoke 59"]["path"] + "?blocking=true"}
    assert [ask_noted(server, fast).status_code for _ in range(59)] == [200] * 59
    refused = ["rate: invoke 59", "rate: invoke 60", "rate: invoke 61", "rate: invoke 62"]
    for name in [*refused, "blocking while throttled", "missing action while throttled"]:
        answer = ask_noted(server, noted[name])
        assert (answer.status_code, answer.json()["error"]) == (429, json.loads(noted[name]["answer"])["error"])
    web = server.anybody("GET", "web/guest/default/nosuch.json")
    theirs = noted["web action while throttled"]["answer"]
    assert (web.status_code, web.text) == (404, theirs.replace(json.loads(theirs)["code"], web.json()["code"]))


def test_thirty_at_once_are_accepted(start: Start) -> None:
    noted = notes("6-throttles")["concurrent 30"]
    server = start(pool_mb=30 * 128)
    server.put("th2", "probe:1", limits={"memory": 128})
    with ThreadPoolExecutor(36) as pool:
        answers = list(pool.map(lambda _: ask_noted(server, noted, s=6), range(36)))
    refused = [one for one in answers if one.status_code == 429]
    assert len(refused) == 6
    assert {one.json()["error"] for one in refused} == {json.loads(noted["answer"])["error"]}
    assert all(one.status_code == 200 for one in answers if one not in refused)
