"""The supervised process as its client sees it: started once, killed, started again, stopped, left idle."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import minio
import psutil
import pytest
import requests
import urllib3

from pipeline.backends.store.s3 import S3Bucket, connect
from pipeline.embedded import client
from pipeline.embedded.client import Embedded, attach, ensure, reap, start
from pipeline.embedded.contract import Forward, ProcessImage, Reach, Service
from pipeline.embedded.processes import Recorded, recorded
from pipeline.embedded.settings import EmbeddedSettings, StoreKeys
from pipeline.embedded.sockets import tcp_listener
from pipeline.embedded.state import State
from pipeline.errors import InfrastructureError

SETTINGS = EmbeddedSettings(pool_mb=512)
WAIT_S = 60.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def bucket_of(keys: StoreKeys, name: str = "own") -> S3Bucket:
    return connect(keys.endpoint, keys.access_key, keys.secret_key, name)


def family(servers: Embedded) -> list[Recorded]:
    processes = [psutil.Process(servers.ready.pid), *psutil.Process(servers.ready.pid).children(recursive=True)]
    return [one for one in (recorded(process.pid) for process in processes) if one is not None]


def kill(servers: Embedded) -> None:
    os.kill(servers.ready.pid, signal.SIGKILL)
    wait_for(lambda: Recorded(pid=servers.ready.pid, started=servers.ready.started).find() is None, "killed")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "servers"
    reap(tmp_path / "servers" / "ready.json")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    running = start(tmp_path_factory.mktemp("shared") / "servers", SETTINGS)
    yield running
    running.stop()


def test_everything_answers_when_start_returns(servers: Embedded) -> None:
    found = requests.get(f"{servers.apihost}/api/v1/namespaces", auth=tuple(servers.auth.split(":")), timeout=30)
    assert found.json() == ["guest"]
    for keys in (servers.course_store(), servers.run_store()):
        bucket_of(keys).put("a", b"1")
    assert servers.pool().size_mb == 512
    assert servers.status()["pid"] == servers.ready.pid


def test_the_run_s_key_does_not_open_the_course_s_store(servers: Embedded) -> None:
    course, run = servers.course_store(), servers.run_store()
    with pytest.raises(InfrastructureError, match=r"AccessDenied|InvalidAccessKeyId"):
        connect(course.endpoint, run.access_key, run.secret_key, "own")


def test_what_holds_keys_is_the_owner_s_alone(servers: Embedded) -> None:
    folder = servers.ready.state
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("ready.json", "kept.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(servers.ready.control.stat().st_mode) == 0o600
    assert stat.S_IMODE(servers.ready.control.parent.stat().st_mode) == 0o700


def test_no_key_is_seen_in_any_argument_or_in_the_log(servers: Embedded) -> None:
    keys = [servers.auth, servers.auth.split(":")[1]]
    keys += [one.secret_key for one in (servers.course_store(), servers.run_store())]
    arguments = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    shown = [*arguments, (servers.ready.state / "supervisor.log").read_text(), repr(servers.ready)]
    assert not [key for key in keys if any(key in text for text in shown)]


def test_a_second_start_attaches(servers: Embedded, tmp_path: Path) -> None:
    assert start(servers.ready.state, SETTINGS).ready == servers.ready
    file = tmp_path / "servers.json"
    assert ensure(file, servers.ready.state, SETTINGS).ready == servers.ready
    attached = attach(file)
    assert attached is not None
    assert attached.ready == servers.ready
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


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


def through(socket_path: Path, method: str, path: str, host: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(socket_path))
    connection.request(method, path, headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def signed(bucket: S3Bucket, key: str) -> str:
    url = bucket.url(key, valid_for=timedelta(hours=1), address="127.0.0.1:9000")
    return url.removeprefix("http://127.0.0.1:9000")


def forward(name: str, *allowed: tuple[str, str], requests: int = 100) -> Forward:
    return Forward(name=name, store="course", allowed=allowed, exact=True, requests=requests, bytes_total=10_000)


def test_a_forwarder_opens_what_its_rule_says_and_counts(servers: Embedded) -> None:
    bucket = bucket_of(servers.course_store(), "course")
    bucket.put("inputs", b"pictures")
    bucket.put("labels", b"hidden")
    path = servers.open_forwarder(forward("predict", ("GET", "/course/inputs")))
    assert through(path, "GET", signed(bucket, "inputs"), "127.0.0.1:9000") == (200, b"pictures")
    assert through(path, "GET", signed(bucket, "labels"), "127.0.0.1:9000")[0] == 403
    counts = servers.forwarder_counts("predict")
    assert (counts.requests, counts.bytes_received) == (1, 8)
    assert servers.open_forwarder(forward("predict", ("GET", "/course/labels"))) == path
    assert through(path, "GET", signed(bucket, "inputs"), "127.0.0.1:9000")[0] == 403
    assert through(path, "GET", signed(bucket, "labels"), "127.0.0.1:9000") == (200, b"hidden")
    assert servers.forwarder_counts("predict").requests == 2
    servers.close_forwarder("predict")
    servers.close_forwarder("predict")
    assert not path.exists()


def test_students_own_minio_code_works_through_the_forwarder(servers: Embedded, tmp_path: Path) -> None:
    """The calls of the course's notes; a bucket that exists already must not make them fail."""
    keys = servers.run_store()
    rules = tuple((method, "/own") for method in ("GET", "HEAD", "PUT"))
    opened = Forward(name="own", store="run", allowed=(*rules, ("GET", "/")), requests=100, bytes_total=10**6)
    path = servers.open_forwarder(opened)

    class Through(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            made.connect(str(path))
            return made

    pool = urllib3.PoolManager()
    plain = type("Plain", (urllib3.HTTPConnectionPool,), {"ConnectionCls": Through})
    pool.pool_classes_by_scheme = {"http": plain}
    own = minio.Minio("127.0.0.1:9000", keys.access_key, keys.secret_key, secure=False, http_client=pool)
    for _ in range(2):
        if not own.bucket_exists("own"):
            own.make_bucket("own")
    (tmp_path / "file").write_bytes(b"word count")
    own.fput_object("own", "part/one", str(tmp_path / "file"))
    own.fget_object("own", "part/one", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"word count"


def test_what_is_asked_wrongly_is_named(servers: Embedded) -> None:
    with pytest.raises(InfrastructureError, match="POST /nothing"):
        servers.ask("POST", "/nothing", {})
    with pytest.raises(InfrastructureError, match="malformed request to /reach"):
        servers.ask("PUT", "/reach", {"namespace": 7})
    assert servers.forwarder_counts("never-opened").requests == 0


def test_cancel_is_harmless_where_nothing_runs(servers: Embedded) -> None:
    servers.cancel()
    servers.cancel()
    assert servers.pool().busy_mb == 0


def put_action(servers: Embedded, name: str) -> requests.Response:
    return requests.put(
        f"{servers.apihost}/api/v1/namespaces/_/actions/{name}?overwrite=true",
        json={"exec": {"kind": "blackbox", "image": "local/none:1"}, "limits": {"memory": 128}},
        auth=tuple(servers.auth.split(":")),
        timeout=30,
    )


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


def test_an_installed_image_is_found_by_its_reference(servers: Embedded) -> None:
    image = ProcessImage(
        reference="course.local:5000/run-1:abc",
        digest="sha256:0",
        python=Path(sys.executable),
        base=Path("/"),
        environment=None,
        code=Path("/"),
        runner=Path("/"),
    )
    servers.install(image)
    file = State(servers.ready.state).image_file(image.reference)
    assert ProcessImage.model_validate_json(file.read_bytes()) == image
    assert file.parent == servers.ready.state / "images"
