"""What a running supervisor offers the pipeline: stores, forwarders, images, the pool, and who may see its keys."""

from __future__ import annotations

import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import minio
import psutil
import pytest
import requests
import urllib3
from support.embedded import (
    SETTINGS,
    bucket_of,
    forward,
    invoke,
    signed,
    through,
    wait_for,
    with_code_action,
)

from pipeline.backends.store.s3 import connect
from pipeline.embedded.client import Embedded, attach, ensure, start
from pipeline.embedded.contract import Forward, ProcessImage
from pipeline.embedded.state import State
from pipeline.errors import InfrastructureError


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


def test_cancel_frees_the_pool(servers: Embedded, tmp_path: Path) -> None:
    with_code_action(servers, tmp_path)
    for _ in range(3):
        invoke(servers, "sleeper", 600, blocking=False)
    wait_for(lambda: servers.pool().busy_mb == 512 and len(servers.pool().queue) == 1, "two run, one waits")
    servers.cancel()
    wait_for(lambda: servers.pool().busy_mb == 0 and not servers.pool().queue, "nothing runs or waits")


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


def test_a_second_start_attaches(servers: Embedded, tmp_path: Path) -> None:
    assert start(servers.ready.state, SETTINGS).ready == servers.ready
    file = tmp_path / "servers.json"
    assert ensure(file, servers.ready.state, SETTINGS).ready == servers.ready
    attached = attach(file)
    assert attached is not None
    assert attached.ready == servers.ready
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
