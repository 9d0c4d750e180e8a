"""The supervised process as its client sees it: started once, killed, started again, stopped, left idle."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from support.embedded import (
    SETTINGS,
    WAIT_S,
    bucket_of,
    family,
    forward,
    invoke,
    kill,
    put_action,
    signed,
    through,
    wait_for,
    with_code_action,
)

from pipeline.embedded import client
from pipeline.embedded.client import Embedded, attach, reap, start
from pipeline.embedded.contract import Reach, Service
from pipeline.embedded.processes import recorded
from pipeline.embedded.sockets import tcp_listener
from pipeline.embedded.state import State
from pipeline.errors import InfrastructureError


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "servers"
    reap(tmp_path / "servers" / "ready.json")


def test_two_started_at_once_are_one(state: Path) -> None:
    State(state).create()
    paths = State(state)
    client.write_private(paths.settings_file, SETTINGS)
    other = client.spawn(paths)
    running = start(state, SETTINGS)
    wait_for(lambda: other.poll() is not None or other.pid == running.ready.pid, "one of the two ends")
    assert other.poll() in {None, State.TAKEN}
    running.stop()
    other.wait(WAIT_S)


def test_after_a_kill_everything_is_as_it_was(state: Path) -> None:
    before = start(state, SETTINGS)
    bucket = bucket_of(before.course_store(), "course")
    bucket.put("checkpoint", b"version 7")
    url = bucket.url("checkpoint", valid_for=timedelta(hours=1))
    path = before.open_forwarder(forward("train", ("GET", "/course/checkpoint"), requests=2))
    assert through(path, "GET", signed(bucket, "checkpoint"), "127.0.0.1:9000")[0] == 200
    before.set_reach(Reach(namespace="guest", action="a", services=(Service(name="store", socket=path, port=9000),)))
    assert put_action(before, "kept").status_code == 200
    wait_for(lambda: b'"requests": 1' in (state / "forwarders.json").read_bytes(), "counts are kept")
    left = family(before)
    kill(before)
    if sys.platform == "linux":
        wait_for(lambda: not [one for one in left if one.find()], "all that it started died with it")

    assert attach(state / "ready.json") is None
    after = start(state, SETTINGS)
    assert after.ready.pid != before.ready.pid
    assert after.ready.model_dump(exclude={"pid", "started"}) == before.ready.model_dump(exclude={"pid", "started"})
    assert requests.get(url, timeout=30).content == b"version 7"
    assert after.forwarder_counts("train").requests == 1
    assert through(path, "GET", signed(bucket, "checkpoint"), "127.0.0.1:9000")[0] == 200
    assert through(path, "GET", signed(bucket, "checkpoint"), "127.0.0.1:9000")[0] == 503, "its cap was two requests"
    actions = requests.get(
        f"{after.apihost}/api/v1/namespaces/_/actions", auth=tuple(after.auth.split(":")), timeout=30
    )
    assert [one["name"] for one in actions.json()] == ["kept"]


def test_what_a_killed_one_left_is_ended_by_the_next(state: Path) -> None:
    State(state).create()
    orphan = subprocess.Popen(["sleep", "600"], start_new_session=True)
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    noted, other = recorded(orphan.pid, "run"), recorded(stranger.pid, "run")
    assert noted is not None
    assert other is not None
    reused = other.model_copy(update={"started": other.started - 1000})
    (state / "children.jsonl").write_text(f"{noted.model_dump_json()}\n{reused.model_dump_json()}\n{{torn")
    start(state, SETTINGS)
    try:
        assert orphan.wait(WAIT_S) == -signal.SIGKILL
        assert stranger.poll() is None, "the pid is another process's now"
    finally:
        for process in (orphan, stranger):
            process.kill()
            process.wait()


def test_stop_ends_all_of_it_and_a_second_time_is_harmless(state: Path) -> None:
    running = start(state, SETTINGS)
    started = family(running)
    assert len(started) >= 3, "the supervisor and two stores"
    running.stop()
    assert not [one for one in started if one.find()]
    assert not (state / "ready.json").exists()
    running.stop()
    reap(state / "ready.json")
    with pytest.raises(InfrastructureError, match="do not answer"):
        running.pool()


def test_sigterm_ends_it_in_order(state: Path) -> None:
    running = start(state, SETTINGS)
    started = family(running)
    os.kill(running.ready.pid, signal.SIGTERM)
    wait_for(lambda: not [one for one in started if one.find()], "all has ended")
    assert not (state / "ready.json").exists()


def test_reap_ends_one_that_does_not_answer(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start(state, SETTINGS)
    file = state.parent / "servers.json"
    client.write_private(file, running.ready)
    started = family(running)
    os.kill(running.ready.pid, signal.SIGSTOP)
    monkeypatch.setattr(client, "ANSWER_S", 0.5)
    monkeypatch.setattr(client, "STOP_S", 0.5)
    monkeypatch.setattr(Embedded.stop, "__defaults__", (0.5,))
    reap(file)
    wait_for(lambda: not [one for one in started if one.find()], "all has ended")


def test_one_that_nobody_asks_ends_by_itself(state: Path) -> None:
    running = start(state, SETTINGS.model_copy(update={"idle_s": 1.0}))
    started = family(running)
    wait_for(lambda: not [one for one in started if one.find()], "idle servers end")
    assert "idle for 1 s" in (state / "supervisor.log").read_text()


def test_a_folder_too_deep_for_sockets_does(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    running = start(deep, SETTINGS)
    sockets = running.ready.control.parent
    assert len(str(running.ready.control)) < 100
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    kill(running)
    running.stop()
    assert not sockets.exists()


def test_a_port_that_is_taken_is_named(state: Path) -> None:
    listener = tcp_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    try:
        for setting in ("openwhisk_port", "store_port"):
            with pytest.raises(InfrastructureError, match=f"127.0.0.1:{port}"):
                start(state, SETTINGS.model_copy(update={setting: port}))
    finally:
        listener.close()


def test_a_kept_port_that_another_program_took_is_replaced(state: Path) -> None:
    first = start(state, SETTINGS)
    port = int(first.course_store().endpoint.rpartition(":")[2])
    first.stop()
    listener = tcp_listener("127.0.0.1", port)
    try:
        second = start(state, SETTINGS)
        assert second.course_store().secret_key == first.course_store().secret_key
        bucket_of(second.course_store()).put("a", b"1")
    finally:
        listener.close()


def test_containers_end_with_a_killed_one_and_figures_of_ended_activations_stay(state: Path, tmp_path: Path) -> None:
    before = start(state, SETTINGS)
    with_code_action(before, tmp_path)
    ended = invoke(before, "sleeper", 0, blocking=True)
    wait_for(lambda: (state / "usage.jsonl").exists(), "figures are kept")
    running = invoke(before, "sleeper", 600, blocking=False)
    wait_for(lambda: before.pool().busy_mb == 256, "the second one runs")
    left = family(before)
    assert len(left) > 3, "a container runs"
    kill(before)
    after = start(state, SETTINGS)
    wait_for(lambda: not [one for one in left if one.find()], "its containers have ended too")
    assert [one.activation for one in after.usage()] == [ended]
    record = requests.get(
        f"{after.apihost}/api/v1/namespaces/_/activations/{running}", auth=tuple(after.auth.split(":")), timeout=30
    ).json()
    assert record["response"]["status"] == "whisk internal error"
    assert after.pool().busy_mb == 0
