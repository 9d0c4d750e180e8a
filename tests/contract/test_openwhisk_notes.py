"""What was noted of a real OpenWhisk: what its containers receive, and how its pool's queue goes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from frame.processes import Processes
from support.action_sandboxes import probes
from support.openwhisk import Sandbox, Server, ask_noted
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox | None) -> Iterator[Server]:
    processes = Processes()
    server = Server(processes, tmp_path_factory.mktemp("state"), PROBES, sandbox)
    yield server
    server.stop()
    processes.end()


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
def test_containers_receive_what_the_real_ones_do(server: Server, create: str) -> None:
    noted = notes("5-container-side")
    for name in ENVELOPES[create]:
        # each in a container of its own, which an update brings
        assert ask_noted(server, noted[create], version="0.0.1").status_code == 200
        theirs, ours = json.loads(noted[name]["answer"]), ask_noted(server, noted[name]).json()
        assert received(ours, server.auth) == received(theirs, AUTH)
        headers = [{key.lower() for key, _ in one["run_headers"]} for one in (ours, theirs)]
        assert headers[0] == headers[1] - {"accept-encoding"}
        assert ours["env"]["__OW_API_HOST"] == server.apihost
        assert not {key for key in ours["env"] if key.startswith("__OW_")} - {"__OW_API_HOST"}


def test_containers_are_used_again_unless_the_developer_is_at_fault(server: Server) -> None:
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


def first_come(rows: list[dict[str, Any]], at_once: int) -> tuple[set[int], list[set[int]]]:
    """Who got the new containers, however long these took to start; and who came after them, by rounds."""
    new = {row["n"] for row in rows if row["initTime"] is not None}
    later = [row["n"] for row in sorted(rows, key=lambda row: row["start"]) if row["n"] not in new]
    return new, [set(later[at : at + at_once]) for at in range(0, len(later), at_once)]


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
    assert first_come(ours, at_once) == first_come(rows, at_once)
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
