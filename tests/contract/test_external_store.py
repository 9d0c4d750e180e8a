"""A real MinIO in the place of the embedded stores: whose key opens what, what is kept for a resume, what is left."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from minio import Minio
from pydantic import SecretStr
from support.minio_server import MinioServer, minio_server, needed
from support.run_access import HOUR, lab, servers_of

from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.backends.store import Key
from pipeline.backends.store.external import ExternalStore
from pipeline.backends.store.s3 import S3Bucket, client
from pipeline.embedded.client import read_ready
from pipeline.errors import CourseError, InfrastructureError, Outcome
from pipeline.settings import Servers
from pipeline.training.server import open_store
from pipeline.training.server_settings import BucketCheckpoints, ServerSettings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    needed()
    with minio_server(tmp_path_factory.mktemp("minio") / "data", tls=True) as running:
        yield running


@pytest.fixture
def servers(server: MinioServer, tmp_path: Path) -> Iterator[EmbeddedServers]:
    made = servers_of(tmp_path / "run", server.settings("contract", tmp_path))
    yield made
    made.run.update(outcome=Outcome.PASSED)
    made.stop()


def root(server: MinioServer) -> Minio:
    return client(server.place, Key(server.access_key, server.secret_key))


def held(server: MinioServer, bucket: str) -> list[str | None] | None:
    """Keys; None where there is no such bucket."""
    found = root(server)
    return (
        [one.object_name for one in found.list_objects(bucket, recursive=True)] if found.bucket_exists(bucket) else None
    )


def fill(servers: EmbeddedServers) -> tuple[str, str]:
    """Both buckets, with what is the run's and what is another run's."""
    course, run = servers.course_bucket(), servers.run_bucket()
    name = servers.run.record.run
    own = (f"training/{name}/checkpoint-a", f"predict/{name}/inputs", f"mapreduce/{name}/split/0")
    for key in (*own, "training/another/final"):
        course.put(key, b"1")
    run.put("shards/one", b"1")
    return course.name, run.name


def test_no_store_is_started_here(servers: EmbeddedServers) -> None:
    servers.open_forwarder(lab())
    ready = read_ready(servers.run.servers_file)
    assert ready is not None
    assert ready.store is None
    assert ready.run_store is None
    assert servers.embedded.status()["stores"] == {}


def test_a_run_that_is_over_leaves_nothing_there_and_others_keep_theirs(
    server: MinioServer, servers: EmbeddedServers
) -> None:
    course, run = fill(servers)
    assert servers.started()
    servers.run.update(outcome=Outcome.FAILED)
    servers.stop()
    assert held(server, run) is None
    assert held(server, course) == ["training/another/final"]
    assert not servers.started()
    servers.stop()


@pytest.mark.parametrize("outcome", [Outcome.ABORTED, Outcome.INFRASTRUCTURE, None])
def test_what_a_resume_goes_on_from_is_kept(
    outcome: Outcome | None, server: MinioServer, servers: EmbeddedServers
) -> None:
    course, run = fill(servers)
    servers.run.update(outcome=outcome)
    servers.stop()
    assert held(server, run) is None
    assert len(held(server, course) or ()) == 4
    servers.run_bucket().put("shards/one", b"again")


def test_objects_that_hide_others_are_removed_with_them(server: MinioServer, servers: EmbeddedServers) -> None:
    run = servers.run_bucket()
    for key in ("a", "a/b", "a/b/c"):
        run.put(key, b"1")
    servers.run.update(outcome=Outcome.PASSED)
    servers.stop()
    assert held(server, run.name) is None


def test_a_run_s_key_opens_its_bucket_alone_also_without_a_forwarder(
    server: MinioServer, servers: EmbeddedServers
) -> None:
    course, run = fill(servers)
    own = S3Bucket(server.place, servers.run_key(HOUR), run)
    assert own.get("shards/one", at_most=9) == b"1"
    assert [one.name for one in own.client.list_buckets()] == [run]
    strange = S3Bucket(server.place, servers.run_key(HOUR), course)
    for call in (
        strange.keys,
        lambda: strange.put("x", b"1"),
        lambda: strange.get("training/another/final", at_most=9),
    ):
        with pytest.raises(InfrastructureError, match="AccessDenied"):
            call()
    with pytest.raises(InfrastructureError, match="AccessDenied"):
        ExternalStore(server.place, servers.run_key(HOUR)).remove(run)
    assert stat.S_IMODE(servers.run.store_keys_file.stat().st_mode) == 0o600


def test_a_key_that_is_renewed_passes_the_forwarders_that_are_open(servers: EmbeddedServers) -> None:
    servers.run_bucket()
    servers.open_forwarder(lab(name="open"))
    first = servers.run_key(HOUR)
    second = servers.run_key(timedelta(hours=5))
    assert second != first
    state = (servers.run.servers_folder / "forwarders.json").read_text()
    assert first.access_key in state
    assert second.access_key in state
    assert servers.run_key(HOUR) == second


def test_a_course_s_key_opens_no_other_course(server: MinioServer, tmp_path: Path) -> None:
    key = server.course_key("contract")
    store = ExternalStore(server.place, key)
    for name in ("course.contract-2", "run.contract-2.20260101-000000-abcdef", "anything"):
        with pytest.raises(InfrastructureError, match="AccessDenied"):
            store.bucket(name)
    store.bucket("course.contract")


def test_a_wrong_secret_is_told_without_being_shown(server: MinioServer, tmp_path: Path) -> None:
    key = server.course_key("contract")
    store = ExternalStore(server.place, Key(key.access_key, "wrong-secret-0123456789"))
    with pytest.raises(InfrastructureError, match="no temporary key") as caught:
        store.key_for("run.contract.x", HOUR)
    assert "wrong-secret" not in f"{caught.value.message}{caught.value.hint}"


def test_a_certificate_that_nobody_vouches_for_is_refused(server: MinioServer, tmp_path: Path) -> None:
    settings = server.settings("contract", tmp_path).model_copy(update={"store_ca_file": None})
    with pytest.raises(InfrastructureError, match="TLS failed"):
        servers_of(tmp_path / "run", settings).course_bucket()


def test_a_file_that_is_no_certificate_is_the_course_s_fault(server: MinioServer, tmp_path: Path) -> None:
    settings = server.settings("contract", tmp_path)
    broken = settings.model_copy(update={"store_ca_file": settings.store_auth_file})
    with pytest.raises(CourseError, match=r"store\.auth holds no certificate"):
        servers_of(tmp_path / "run", broken).course_bucket()


def test_a_parameter_server_keeps_its_checkpoints_there(servers: EmbeddedServers) -> None:
    access = servers.course_access()
    servers.course_bucket()
    checkpoints = BucketCheckpoints(
        endpoint=access.endpoint,
        access_key=access.access_key,
        secret_key=SecretStr(access.secret_key),
        ca_file=access.ca_file,
        bucket=access.bucket,
        prefix="training/one",
    )
    store = open_store(ServerSettings(host="127.0.0.1", open=True, checkpoints=checkpoints))
    assert store is not None
    store.put("checkpoint-a.safetensors", b"whole")
    assert store.get("checkpoint-a.safetensors") == b"whole"
    servers.course_bucket().delete("training/one/checkpoint-a.safetensors")


def test_a_store_that_is_not_there_is_infrastructure_s_fault(tmp_path: Path) -> None:
    file = tmp_path / "store.auth"
    file.write_text("ACCESS:SECRET")
    servers = servers_of(tmp_path / "run", Servers(store_endpoint="http://127.0.0.1:9", store_auth_file=file))
    with pytest.raises(InfrastructureError, match=r"127\.0\.0\.1:9"):
        servers.course_bucket()
    assert servers.started(), "something may lie there: it is cleared when the store is there again"
