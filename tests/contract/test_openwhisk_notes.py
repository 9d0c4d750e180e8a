"""What was noted of a real OpenWhisk: what its containers receive, its throttles, and how its pool's queue goes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from frame.processes import Processes
from support.action_sandboxes import probes
from support.openwhisk import Sandbox, Server
from support.recordings import AUTH, PROBE_COMMAND, notes

PROBES = {"probe:1": PROBE_COMMAND, "python:3": PROBE_COMMAND}
OWN = {"transaction_id", "activation_id", "deadline", "__OW_TRANSACTION_ID", "__OW_ACTIVATION_ID", "__OW_DEADLINE"}
BY_KEY = re.compile(r"[A-Za-z0-9-]+\Z")
ENVELOPES = {
    "create": ("envelope cold",),
    "create with api key annotation": ("envelope with api key",),
    "create with code": ("envelope with code",),
    "create with zip": ("envelope with zip and main",),
    "create python kind": ("envelope python kind",),
    "create init params": ("envelope with init parameter", "envelope with init parameter overridden"),
}

Start = Callable[..., Server]


@pytest.fixture(scope="module", params=["plain", "docker"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox | None]:
    with probes(request.param, request) as found:
        yield found


@pytest.fixture
def start(tmp_path: Path, processes: Processes, sandbox: Sandbox | None) -> Iterator[Start]:
    """A server whose action is the one that was recorded: `start(pool_mb=512)`."""
    started: list[Server] = []

    def begin(**settings: Any) -> Server:
        started.append(Server(processes, tmp_path / f"state-{len(started)}", PROBES, sandbox, **settings))
        return started[-1]

    yield begin
    for server in started:
        server.stop()


def ask(server: Server, note: dict[str, Any], **changes: Any) -> requests.Response:
    """The noted request; `changes` go into its body."""
    path = note["path"].removeprefix("/api/v1/namespaces/_/")
    body = json.dumps({**json.loads(note["body"]), **changes}) if changes else note["body"]
    return server.ask(note["method"], path, body)


def received(envelope: dict[str, Any], auth: str) -> Any:
    """What a container was told at its last /init and at /run, without ids and moments."""

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plain(one, name) for name, one in value.items()}
        if key in OWN:
            return bool(BY_KEY.match(value))
        return "<the caller's>" if value == auth else value

    return plain({"init": envelope["init"][-1]["body"], "run": envelope["run_body"]})


@pytest.mark.parametrize("create", ENVELOPES)
def test_containers_receive_what_the_real_ones_do(start: Start, create: str) -> None:
    noted = notes("5-container-side")
    server = start()
    for name in ENVELOPES[create]:
        # each in a container of its own, which an update brings
        assert ask(server, noted[create], version="0.0.1").status_code == 200
        theirs, ours = json.loads(noted[name]["answer"]), ask(server, noted[name]).json()
        assert received(ours, server.auth) == received(theirs, AUTH)
        headers = [{key.lower() for key, _ in one["run_headers"]} for one in (ours, theirs)]
        assert headers[0] == headers[1] - {"accept-encoding"}
        assert ours["env"]["__OW_API_HOST"] == server.apihost
        assert not {key for key in ours["env"] if key.startswith("__OW_")} - {"__OW_API_HOST"}


def test_containers_are_used_again_unless_the_developer_is_at_fault(start: Start) -> None:
    server = start()
    server.put(image="probe:1")
    steps: list[tuple[dict[str, Any], bool]] = [
        ({"mode": "error"}, True),
        ({"mode": "list"}, True),
        ({"mode": "big", "n": 1_200_000}, True),
        ({"mode": "body", "body": 7}, False),
        ({"mode": "status", "code": 502}, False),
        ({"mode": "exit"}, False),
    ]
    runs = server.call({"mode": "count"}).json()["response"]["result"]["runs"]
    for arguments, kept in steps:
        server.call(arguments)
        before, runs = runs, server.call({"mode": "count"}).json()["response"]["result"]["runs"]
        assert runs == (before + 2 if kept else 1), arguments


def test_a_minutes_invocations_are_counted_as_noted(start: Start) -> None:
    noted = notes("6-throttles")
    server = start(invocations_per_minute=60)
    limits = json.loads(noted["limits"]["answer"])
    assert server.ask("GET", "limits").json() == limits
    ask(server, noted["c"])
    while time.time() % 60 > 40:
        time.sleep(0.5)
    assert ask(server, noted["warm"]).status_code == 200
    fast = {**noted["rate: invoke 59"], "path": noted["rate: invoke 59"]["path"] + "?blocking=true"}
    assert [ask(server, fast).status_code for _ in range(59)] == [200] * 59
    refused = ["rate: invoke 59", "rate: invoke 60", "rate: invoke 61", "rate: invoke 62"]
    for name in [*refused, "blocking while throttled", "missing action while throttled"]:
        answer = ask(server, noted[name])
        assert (answer.status_code, answer.json()["error"]) == (429, json.loads(noted[name]["answer"])["error"])
    web = server.anybody("GET", "web/guest/default/nosuch.json")
    theirs = noted["web action while throttled"]["answer"]
    assert (web.status_code, web.text) == (404, theirs.replace(json.loads(theirs)["code"], web.json()["code"]))


def test_thirty_at_once_are_accepted(start: Start) -> None:
    noted = notes("6-throttles")["concurrent 30"]
    server = start(pool_mb=30 * 128)
    server.put("th2", "probe:1", limits={"memory": 128})
    with ThreadPoolExecutor(36) as pool:
        answers = list(pool.map(lambda _: ask(server, noted, s=6), range(36)))
    refused = [one for one in answers if one.status_code == 429]
    assert len(refused) == 6
    assert {one.json()["error"] for one in refused} == {json.loads(noted["answer"])["error"]}
    assert all(one.status_code == 200 for one in answers if one not in refused)


def in_order(rows: list[dict[str, Any]]) -> list[int]:
    return [row["n"] for row in sorted(rows, key=lambda row: row["start"])]


def rounds(numbers: list[int], at_once: int) -> list[set[int]]:
    return [set(numbers[at : at + at_once]) for at in range(0, len(numbers), at_once)]


@pytest.mark.parametrize(
    ("noted", "at_once", "new"),
    [
        ("pool 1024, 10 x 256 MB, 3 s each", 4, 4),
        ("again, all warm", 4, 0),
        ("a different action of 512 MB when 4 x 256 are warm: eviction", 2, 2),
    ],
)
def test_the_queue_goes_by_rounds_as_noted(start: Start, noted: str, at_once: int, new: int) -> None:
    rows = notes("7-pool-queue")[f"{noted}: rows"]["note"]
    assert sum(row["initTime"] is not None for row in rows) == new
    server = start(pool_mb=1024)
    server.put("q", "probe:1", limits={"memory": 256})
    server.put("q512", "probe:1", limits={"memory": 512})
    if new != 4:
        sent(server, "q", 4)
    ours = sent(server, "q512" if at_once == 2 else "q", len(rows))
    assert rounds(in_order(ours), at_once) == rounds(in_order(rows), at_once)
    assert sum(row["initTime"] is not None for row in ours) == new
    assert server.pool()["queue"] == []


def sent(server: Server, action: str, count: int) -> list[dict[str, Any]]:
    """Rows like the noted ones, of calls that each take a second, sent one after the other."""
    started = [server.start({"mode": "sleep", "s": 1, "n": number}, action) for number in range(count)]
    records = [server.record(one) for one in started]
    annotations = [{one["key"]: one["value"] for one in record["annotations"]} for record in records]
    return [
        {"n": number, "start": record["start"], "initTime": notes.get("initTime")}
        for number, (record, notes) in enumerate(zip(records, annotations, strict=True))
    ]
