"""The embedded OpenWhisk over HTTP with real, if plain, containers: pool, queue, logs, limits, restarts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from frame.processes import Processes
from support.openwhisk import Server

PATIENCE_S = 60

Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path, processes: Processes) -> Iterator[Start]:
    """Starts a server on the test's state folder: `start(pool_mb=512)`."""
    yield lambda **settings: Server(processes, tmp_path / "state", **settings)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that need no settings of their own."""
    started = Processes()
    server = Server(started, tmp_path_factory.mktemp("shared"))
    yield server
    server.stop()
    started.end()


@pytest.fixture
def server(shared: Server) -> Server:
    """The shared server without the action `a` and without containers."""
    shared.ask("DELETE", "actions/a")
    until(lambda: shared.pool()["containers"] == 0)
    return shared


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.05)
    return found


def result(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["response"]["result"]
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_a_kill_loses_nothing_that_was_answered(start: Start) -> None:
    server = start()
    server.put()
    done = server.call({"lines": 2}).json()
    logs = server.record(done["activationId"])["logs"]
    running = server.start({"do": "sleep", "seconds": 60})
    pid = result(server.call())["pid"]
    server.kill()

    server = start()
    assert server.ask("GET", "actions/a").json()["version"] == "0.0.1"
    kept = server.record(done["activationId"])
    assert (kept["response"], kept["logs"]) == (done["response"], logs)
    lost = server.record(running)
    assert lost["response"]["status"] == "whisk internal error"
    until(lambda: not alive(pid))
    assert server.ask("GET", "activations?count=true").json() == {"activations": 3}
    server.stop()


def test_what_does_not_fit_waits_visibly_and_in_order(start: Start) -> None:
    server = start(pool_mb=512, prewarmed=1, prewarmed_mb=256)
    server.put("a", limits={"memory": 128})
    server.put("b", limits={"memory": 256})
    sleep = {"do": "sleep", "seconds": 3}
    started = [server.start(sleep, name) for name in ("a", "b", "a", "a")]
    pool = until(lambda: (found := server.pool()) and len(found["queue"]) == 3 and found)
    assert (pool["size_mb"], pool["busy_mb"], pool["prewarmed_mb"]) == (512, 128, 256)
    assert [(one["activation"], one["position"]) for one in pool["queue"]] == [
        (started[1], 1),
        (started[2], 2),
        (started[3], 3),
    ]
    assert "prewarmed" in pool["queue"][0]["reason"]
    records = [server.record(one) for one in started]
    assert all(one["response"]["success"] for one in records)
    # 256 MB of b need all that is not prewarmed: it runs alone, and nobody who came later overtook it
    assert records[1]["start"] >= records[0]["end"] - 50
    assert min(one["start"] for one in records[2:]) >= records[1]["end"] - 50
    server.stop()


def test_what_can_never_fit_is_refused(start: Start) -> None:
    server = start(pool_mb=512, prewarmed=1, prewarmed_mb=256)
    server.put(limits={"memory": 512})
    answer = server.call()
    assert answer.status_code == 400
    assert "can never hold it" in answer.json()["error"]
    server.stop()


def test_containers_start_at_the_first_call_and_serve_until_replaced(server: Server) -> None:
    server.put()
    assert server.pool()["containers"] == 0
    first, second = result(server.call()), result(server.call())
    assert (first["pid"], second["runs"]) == (second["pid"], 2)
    assert server.put()["version"] == "0.0.2"
    third = result(server.call())
    assert third["pid"] != first["pid"]
    until(lambda: not alive(first["pid"]))
    server.ask("DELETE", "actions/a")
    until(lambda: not alive(third["pid"]))


def test_idle_containers_give_way_and_end(start: Start) -> None:
    server = start(pool_mb=256, idle_s=1.0)
    server.put("a", limits={"memory": 256})
    server.put("b", limits={"memory": 256})
    old, new = result(server.call(name="a"))["pid"], result(server.call(name="b"))["pid"]
    assert not alive(old)
    until(lambda: server.pool()["containers"] == 0)
    assert not alive(new)
    server.stop()


def test_an_update_or_a_deletion_lets_the_running_one_finish(server: Server) -> None:
    server.put()
    running = server.start({"do": "sleep", "seconds": 2})
    until(lambda: server.pool()["busy_mb"])
    server.ask("DELETE", "actions/a")
    assert server.call().status_code == 404
    assert server.record(running)["response"]["success"]
    until(lambda: server.pool()["containers"] == 0)


def test_logs_name_stream_and_time_and_stop_at_the_limit(server: Server) -> None:
    server.put(limits={"logs": 1})
    lines = server.record(server.start({"lines": 3}))["logs"]
    assert sorted(line[31:] for line in lines) == sorted(
        f"{stream}: {text} {number}{end}"
        for number in range(3)
        for stream, text, end in (("stdout", "line", " "), ("stderr", "problem", ""))
    )
    assert all(line[:31].rstrip().endswith("Z") and line[30] == " " for line in lines)
    many = server.record(server.start({"lines": 300, "width": 10_000}))["logs"]
    assert sum(map(len, many)) < 1.1 * 1024 * 1024
    assert "truncated" in many[-1]
    assert len(server.record(server.start({"lines": 1}))["logs"]) == 2


def test_containers_get_what_the_protocol_says(server: Server) -> None:
    server.put(
        parameters=[{"key": "bound", "value": 1}, {"key": "SECRET", "value": {"n": 1}, "init": True}],
        annotations=[{"key": "provide-api-key", "value": True}],
    )
    record = server.call({"do": "told", "own": 2}).json()
    told = record["response"]["result"]
    assert told["environment"]["__OW_API_HOST"] == server.apihost
    start_up, run = told["init"]["value"], told["run"]
    assert (start_up["name"], start_up["main"], start_up["binary"], "code" in start_up) == ("a", "main", False, False)
    environment = start_up["env"]
    assert environment["SECRET"] == '{"n":1}'
    assert environment["__OW_ACTION_NAME"] == "/guest/a"
    assert environment["__OW_API_KEY"] == run["api_key"] == server.auth
    assert run["value"] == {"bound": 1, "do": "told", "own": 2}
    assert run["activation_id"] == environment["__OW_ACTIVATION_ID"] == record["activationId"]
    assert int(run["deadline"]) > record["start"]


def test_a_crash_is_answered_at_once_and_costs_its_container(server: Server) -> None:
    server.put()
    answer = server.call({"do": "exit", "lines": 1})
    assert answer.status_code == 502
    assert result(answer)["error"] == "The action did not produce a valid response and exited unexpectedly."
    logs = server.record(answer.json()["activationId"])["logs"]
    assert any("problem 0" in line for line in logs)
    assert "Log data might be missing." in logs[-1]
    assert result(server.call())["runs"] == 1


def test_a_missing_image_is_the_developers_error(server: Server) -> None:
    server.put(image="nowhere:1")
    answer = server.call()
    assert result(answer)["error"] == "Failed to pull container image 'nowhere:1'."
    assert any("there is no image" in line for line in server.record(answer.json()["activationId"])["logs"])


def test_throttles_count_refused_calls_and_calls_in_flight(start: Start) -> None:
    server = start(invocations_per_minute=4, concurrent_invocations=2)
    server.put()
    while time.time() % 60 > 50:
        time.sleep(1)
    started = [server.start({"do": "sleep", "seconds": 3}) for _ in range(2)]
    refused = [server.call(name=name) for name in ("a", "a", "missing")]
    assert [one.status_code for one in refused] == [429, 429, 429]
    assert [one.json()["error"] for one in refused] == [
        "Too many concurrent requests in flight (count: 2, allowed: 2).",
        "Too many concurrent requests in flight (count: 2, allowed: 2).",
        "Too many requests in the last minute (count: 5, allowed: 4).",
    ]
    assert all(server.record(one)["response"]["success"] for one in started)
    server.stop()


def test_a_capped_key_stays_capped_over_a_restart(start: Start) -> None:
    server = start()
    server.put(auth=server.capped)
    assert server.ask("POST", "actions/a?blocking=true", {}, auth=server.capped).status_code == 200
    assert server.ask("GET", "actions", auth=server.auth).json() == []
    server.kill()
    server = start()
    codes = [server.ask("POST", "actions/a?blocking=true", {}, auth=server.capped).status_code for _ in range(2)]
    assert codes == [200, 403]
    server.stop()


def test_bodies_are_bounded(server: Server) -> None:
    server.put()
    for depth in (300, 900, 100_000):
        refused = server.ask("POST", "actions/a", '{"a":' + "[" * depth + "]" * depth + "}")
        assert (refused.status_code, "nested" in refused.json()["error"]) == (400, True)
    large = server.ask("POST", "actions/a", {"x": "y" * 1_200_000})
    assert large.status_code == 413
    assert large.json()["error"] == "Request larger than allowed: 1200009 > 1048576 bytes."
    parameters = [{"key": "x", "value": "y" * 1_200_000}]
    body = {"exec": {"kind": "blackbox", "image": "action:1"}, "parameters": parameters}
    assert server.ask("PUT", "actions/b", body).status_code == 413
    assert server.call().status_code == 200


def test_of_many_calls_at_once_each_has_one_record(start: Start) -> None:
    server = start(pool_mb=512, concurrent_invocations=200)
    server.put(limits={"memory": 128})
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda number: server.start({"n": number}), range(100)))
    numbers = [server.record(one)["response"]["result"]["arguments"]["n"] for one in ids]
    assert numbers == list(range(100))
    assert server.ask("GET", "activations?count=true").json() == {"activations": 100}
    listed = server.ask("GET", "activations?limit=200").json()
    assert {one["activationId"] for one in listed} == set(ids)
    server.stop()


def test_managed_python_code_is_given_at_init(server: Server) -> None:
    code = "def main(arguments):\n    return arguments\n"
    answer = server.ask("PUT", "actions/p", {"exec": {"kind": "python:default", "code": code}})
    assert answer.json()["exec"]["kind"] == "python:3"
    assert result(server.call({"do": "told"}, "p"))["init"]["value"]["code"] == code
    server.ask("DELETE", "actions/p")
