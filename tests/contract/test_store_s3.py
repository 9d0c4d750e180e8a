"""The contract of a bucket, over every store that is here: the embedded one, and a real MinIO where its program is."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from support.loops import BackgroundLoop
from support.minio_server import MinioServer, minio_server, needed

from pipeline.backends.store.external import ExternalStore, run_bucket
from pipeline.backends.store.s3 import S3Bucket, connect
from pipeline.data.put import put
from pipeline.embedded.sockets import tcp_listener
from pipeline.embedded.store import Store
from pipeline.errors import InfrastructureError, LimitError

HOUR = timedelta(hours=1)
KEYS = ("contract-access", "contract-secret-0123456789")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with BackgroundLoop() as loop:
        store = Store("contract", tmp_path_factory.mktemp("stores") / "data", tcp_listener("127.0.0.1", 0), KEYS)
        loop.run(store.start())
        yield store
        loop.run(store.stop())


@pytest.fixture(scope="module")
def real_minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    needed()
    with minio_server(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(params=["embedded", "minio"])
def bucket(request: pytest.FixtureRequest) -> S3Bucket:
    return made(str(request.param), request)


@pytest.fixture(params=["embedded", "minio", "minio, run's key"])
def signing(request: pytest.FixtureRequest) -> S3Bucket:
    """A bucket, the URLs of which are signed with its own key, or with a temporary one."""
    return made(str(request.param), request)


def made(store: str, request: pytest.FixtureRequest) -> S3Bucket:
    name = f"contract-{uuid.uuid4().hex[:12]}"
    if store == "embedded":
        return connect(request.getfixturevalue("embedded").endpoint, *KEYS, name)
    server: MinioServer = request.getfixturevalue("real_minio")
    if store == "minio":
        return connect(server.endpoint, server.access_key, server.secret_key, name)
    course = ExternalStore(server.place, server.course_key("contract"))
    name = run_bucket("contract", name)
    return course.bucket(name, signing=lambda valid_for: course.key_for(name, valid_for))


@pytest.mark.parametrize("size", [0, 1, 300_000, 12_000_000])
def test_what_is_put_is_got(bucket: S3Bucket, size: int) -> None:
    content = os.urandom(size)
    bucket.put("shards/one", content)
    assert bucket.get("shards/one", at_most=size) == content


def test_a_put_replaces_what_was_there(bucket: S3Bucket) -> None:
    bucket.put("a", b"long before")
    bucket.put("a", b"short")
    assert bucket.get("a", at_most=100) == b"short"
    assert bucket.keys() == ["a"]


def test_a_file_is_put_as_its_bytes(bucket: S3Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"of a file")
    bucket.put("a", tmp_path / "file")
    assert bucket.get("a", at_most=9) == b"of a file"


def test_more_than_at_most_is_a_limit(bucket: S3Bucket) -> None:
    bucket.put("a", bytes(101))
    with pytest.raises(LimitError, match="more than 100 bytes"):
        bucket.get("a", at_most=100)


def test_what_is_not_there_is_a_key_error_and_no_object(bucket: S3Bucket) -> None:
    with pytest.raises(KeyError):
        bucket.get("never/put", at_most=1)
    assert not bucket.exists("never/put")
    bucket.delete("never/put")
    assert bucket.keys("never") == []


def test_keys_are_listed_by_prefix_and_forgotten_when_deleted(bucket: S3Bucket) -> None:
    for key in ("run/b", "run/a", "runs", "other/x"):
        bucket.put(key, b"1")
    assert bucket.keys("run") == ["run/a", "run/b", "runs"]
    assert bucket.keys("run/") == ["run/a", "run/b"]
    bucket.delete("run/a")
    assert bucket.exists("run/b")
    assert not bucket.exists("run/a")
    assert bucket.keys() == ["other/x", "run/b", "runs"]


def test_more_keys_than_one_answer_lists(bucket: S3Bucket) -> None:
    for number in range(1005):
        bucket.put(f"n/{number:04}", b"")
    assert len(bucket.keys("n/")) == 1005


def test_signed_urls_open_one_object_for_one_method(signing: S3Bucket) -> None:
    signing.put("inputs", b"pictures")
    get, answer = signing.url("inputs", valid_for=HOUR), signing.url("answer", method="PUT", valid_for=HOUR)
    assert requests.get(get, timeout=30).content == b"pictures"
    assert requests.put(answer, data=b"classes", timeout=30).status_code == 200
    assert signing.get("answer", at_most=100) == b"classes"
    assert requests.put(get, data=b"x", timeout=30).status_code == 403
    assert requests.get(get.replace("inputs", "answer"), timeout=30).status_code == 403


def test_an_url_for_another_address_is_signed_for_that_one_without_asking(signing: S3Bucket) -> None:
    signing.put("a", b"seen from inside")
    url = signing.url("a", valid_for=HOUR, address="127.0.0.1:9")
    assert url.startswith(f"http://127.0.0.1:9/{signing.name}/a?")
    through = url.replace("127.0.0.1:9", signing.endpoint)
    assert requests.get(through, timeout=30).status_code == 403
    assert requests.get(through, headers={"Host": "127.0.0.1:9"}, timeout=30).content == b"seen from inside"


def test_an_expired_url_opens_nothing(signing: S3Bucket) -> None:
    signing.put("a", b"1")
    url = signing.url("a", valid_for=timedelta(seconds=1))
    deadline = time.monotonic() + 60
    while requests.get(url, timeout=30).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    refused = requests.get(url, timeout=30)
    assert refused.status_code in {400, 403}, "rclone says 400, MinIO 403"
    assert refused.content != b"1"


def test_the_wrong_key_is_told_without_telling_any_key(bucket: S3Bucket) -> None:
    with pytest.raises(InfrastructureError) as caught:
        connect(bucket.endpoint, bucket.key.access_key, "another-secret-0123456789", "other")
    assert "AccessDenied" in caught.value.message or "SignatureDoesNotMatch" in caught.value.message
    assert "secret" not in caught.value.message
    assert "key pair" in caught.value.hint


def test_a_file_put_by_hand_is_read_by_its_url(bucket: S3Bucket, tmp_path: Path) -> None:
    (tmp_path / "dataset_dl_1.tar.gz").write_bytes(b"archive")
    uploaded = put(bucket, tmp_path / "dataset_dl_1.tar.gz")
    assert uploaded.bucket_name == bucket.name
    assert re.fullmatch(r"[0-9a-f-]{36}\.tar\.gz", uploaded.object_name)
    assert requests.get(uploaded.url, timeout=30).content == b"archive"


def test_no_process_shows_the_secret_in_its_arguments(embedded: Store) -> None:
    arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert any(b"serve" in one and str(embedded.folder).encode() in one for one in arguments)
    assert not [one for one in arguments if KEYS[1].encode() in one]


def test_a_store_that_dies_is_started_again_on_its_port(embedded: Store) -> None:
    bucket = connect(embedded.endpoint, *KEYS, "again")
    bucket.put("a", b"kept")
    assert embedded.process is not None
    embedded.process.kill()
    assert bucket.get("a", at_most=10) == b"kept"


def test_a_store_that_is_not_there_is_said() -> None:
    listener = tcp_listener("127.0.0.1", 0)
    address = "{}:{}".format(*listener.getsockname())
    listener.close()
    with pytest.raises(InfrastructureError, match=f"{address}.*no answer"):
        connect(address, *KEYS, "none")
