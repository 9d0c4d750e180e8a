"""What a run's key to the store opens, and what it does not: over both stores, by both ways to the run's forwarder."""

from __future__ import annotations

import dataclasses
import io
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from support.minio_server import minio_server, needed
from support.run_access import HOUR, MB, WAYS, Access, lab, servers_of

from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.settings import Servers
from runner.bucket import Bucket
from runner.errors import NoAnswerError, TransferError


@dataclass(frozen=True)
class World:
    """Two runs of one course: a student's, and another's."""

    own: EmbeddedServers
    other: EmbeddedServers

    def empty(self) -> None:
        bucket = self.own.run_bucket()
        held = bucket.keys()
        for key in held:
            bucket.delete(key)


@pytest.fixture(scope="module", params=["embedded", "minio"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        settings = Servers()
        if request.param == "minio":
            needed()
            settings = stack.enter_context(minio_server(folder / "data", tls=True)).settings("contract", folder)
        runs = [servers_of(folder / name, settings) for name in ("own", "other")]
        for run in runs:
            stack.callback(run.stop)
            run.run_bucket().put("secret", run.run_bucket().name.encode())
        runs[0].course_bucket().put("labels", b"hidden")
        yield World(*runs)


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Open = Callable[..., Access]


@pytest.fixture
def access(world: World, way: str) -> Iterator[Open]:
    """Opens a forwarder of the student's run, with a key and an empty bucket."""
    bucket = world.own.run_bucket()
    world.empty()
    with ExitStack() as stack:

        def opened(**changes: object) -> Access:
            key = world.own.run_key(HOUR)
            address = stack.enter_context(WAYS[way](world.own.open_forwarder(lab(**changes))))
            return Access(address, key, bucket.name)

        yield opened


def code_of(call: Callable[[], object]) -> str:
    """S3's code of the error that a client raises."""
    with pytest.raises(S3Error) as caught:
        call()
    return str(caught.value.code)


def put(client: Minio, bucket: str, key: str, size: int) -> None:
    client.put_object(bucket, key, io.BytesIO(os.urandom(size)), size)


def names(client: Minio, bucket: str) -> list[str | None]:
    return [one.object_name for one in client.list_objects(bucket, recursive=True)]


def test_the_labs_calls_for_buckets(access: Open) -> None:
    given = access()
    client = given.client
    assert [one.name for one in client.list_buckets()] == [given.bucket]
    assert client.bucket_exists(given.bucket)
    client.make_bucket(given.bucket)
    assert not client.bucket_exists("wordcount")
    with pytest.raises(S3Error, match=f"one bucket, {given.bucket}") as caught:
        client.make_bucket("wordcount")
    assert caught.value.code == "AccessDenied"


def test_the_labs_calls_for_objects(access: Open, tmp_path: Path) -> None:
    given = access()
    client, bucket = given.client, given.bucket
    content = os.urandom(12 * MB)  # in three parts
    (tmp_path / "file").write_bytes(content)
    client.fput_object(bucket, "in/file.bin", str(tmp_path / "file"))
    client.fget_object(bucket, "in/file.bin", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    put(client, bucket, "in/ein Wort.txt", 5)
    assert names(client, bucket) == ["in/ein Wort.txt", "in/file.bin"]
    assert client.stat_object(bucket, "in/file.bin").size == len(content)
    client.copy_object(bucket, "copy", CopySource(bucket, "in/ein Wort.txt"))
    client.remove_object(bucket, "in/file.bin")
    assert list(client.remove_objects(bucket, [DeleteObject("copy")])) == []
    assert names(client, bucket) == ["in/ein Wort.txt"]
    client.remove_object(bucket, "never there")


def test_a_worker_without_a_server_uses_the_bucket_with_the_standard_library_alone(access: Open) -> None:
    given = access()
    bucket = Bucket(given.address, given.bucket, given.key.access_key, given.key.secret_key)
    assert bucket.get("exchange/000001-0-1") is None
    bucket.put("exchange/000001-0-1", b"part")
    bucket.put("exchange/000001-merged-0", b"")
    assert bucket.wait("exchange/000001-0-1", time.time() + 10) == b"part"
    bucket.delete(["exchange/000001-0-1", "exchange/000001-merged-0", "exchange/never-there"])
    assert names(given.client, given.bucket) == []
    with pytest.raises(NoAnswerError, match="403"):
        Bucket(given.address, given.bucket, given.key.access_key, "another secret").get("a")
    with pytest.raises(TransferError, match="bucket is full"):
        full = access(stored_bytes=10)
        Bucket(full.address, full.bucket, full.key.access_key, full.key.secret_key).put("large", b"x" * 11)


def test_a_missing_key_is_called_so(access: Open, tmp_path: Path) -> None:
    given = access()
    client = given.client
    for call in (
        lambda: client.get_object(given.bucket, "none"),
        lambda: client.stat_object(given.bucket, "none"),
        lambda: client.fget_object(given.bucket, "none", str(tmp_path / "none")),
    ):
        assert code_of(call) == "NoSuchKey"


def test_urls_that_a_program_signs_open_one_object(access: Open) -> None:
    given = access()
    client = given.client
    put_url, get_url = client.presigned_put_object(given.bucket, "a"), client.presigned_get_object(given.bucket, "a")
    assert requests.put(put_url, data=b"by url", timeout=60).status_code == 200
    assert requests.get(get_url, timeout=60).content == b"by url"
    assert requests.put(get_url, data=b"other", timeout=60).status_code == 403


def test_urls_that_the_course_signs_for_this_address_open_one_object(world: World, access: Open) -> None:
    given, bucket = access(), world.own.run_bucket()
    bucket.put("shard", b"rows")
    url = bucket.url("shard", valid_for=HOUR, address=given.address)
    assert url.startswith(f"http://{given.address}/{given.bucket}/shard?")
    assert requests.get(url, timeout=60).content == b"rows"


@pytest.mark.parametrize("part", ["path", "signature", "expiry"])
def test_a_url_that_was_changed_opens_nothing(part: str, world: World, access: Open) -> None:
    given, bucket = access(), world.own.run_bucket()
    bucket.put("mine", b"mine")
    bucket.put("theirs", b"theirs")
    url = bucket.url("mine", valid_for=HOUR, address=given.address)
    signature = url.rpartition("X-Amz-Signature=")[2][:64]
    changed = {
        "path": url.replace("/mine?", "/theirs?"),
        "signature": url.replace(signature, signature[::-1]),
        "expiry": url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"),
    }[part]
    assert changed != url
    refused = requests.get(changed, timeout=60)
    assert refused.status_code == 403
    assert refused.content != b"theirs"


def test_another_run_s_key_opens_nothing_here_and_this_one_nothing_there(world: World, access: Open) -> None:
    given = access()
    strange = dataclasses.replace(given, key=world.other.run_key(HOUR))
    assert code_of(strange.client.list_buckets) == "InvalidAccessKeyId"
    assert code_of(lambda: names(strange.client, world.other.run_bucket().name)) == "InvalidAccessKeyId"
    theirs = world.other.run_bucket().name
    assert code_of(lambda: given.client.get_object(theirs, "secret")) == "NoSuchBucket"
    assert strange.send("GET", strange.signed("GET", f"/{given.bucket}/secret")).code == "InvalidAccessKeyId"
    assert given.send("GET", given.signed("GET", f"/{theirs}/secret")).code == "AccessDenied"


@pytest.mark.parametrize("which", ["unsigned", "version 2", "two keys", "wrong secret"])
def test_what_is_not_signed_with_the_key_is_refused(which: str, access: Open) -> None:
    given = access()
    path = f"/{given.bucket}/a"
    forged = dataclasses.replace(given, key=dataclasses.replace(given.key, secret_key="guessed"))
    target, headers = {
        "unsigned": (path, {}),
        "version 2": (path, {"Authorization": f"AWS {given.key.access_key}:c2lnbmF0dXJl"}),
        "two keys": (given.signed("GET", path), given.headers("GET", path)),
        "wrong secret": (path, forged.headers("GET", path)),
    }[which]
    refused = given.send("GET", target, headers=headers)
    assert refused.status == 403
    assert refused.code in {"AccessDenied", "SignatureDoesNotMatch"}


def test_an_expired_access_opens_nothing_until_it_is_renewed(world: World, access: Open) -> None:
    given = access(name="expiring", expires=time.time() - 1)
    assert code_of(given.client.list_buckets) == "ExpiredToken"
    assert code_of(lambda: put(given.client, given.bucket, "a", 1)) == "ExpiredToken"
    url = world.own.run_bucket().url("a", valid_for=HOUR, address=given.address)
    assert requests.get(url, timeout=60).status_code == 400
    world.own.open_forwarder(lab(name="expiring", expires=time.time() + 600))
    put(given.client, given.bucket, "a", 1)


def test_one_object_too_large_is_refused_whole(world: World, access: Open) -> None:
    given = access(stored_bytes=MB)
    assert code_of(lambda: put(given.client, given.bucket, "large", MB + 1)) == "QuotaExceeded"
    put(given.client, given.bucket, "just", MB)
    assert world.own.run_bucket().keys() == ["just"]


def test_an_object_in_parts_is_refused_too(world: World, access: Open) -> None:
    given = access(stored_bytes=8 * MB)
    assert code_of(lambda: put(given.client, given.bucket, "large", 12 * MB)) == "QuotaExceeded"
    assert world.own.run_bucket().keys() == []
    put(given.client, given.bucket, "fits", 7 * MB)


def test_many_objects_too_large_together_are_refused_and_room_that_is_made_counts(world: World, access: Open) -> None:
    given = access(stored_bytes=MB)
    client, bucket = given.client, given.bucket
    world.own.run_bucket().put("of the course", bytes(300_000))
    for number in range(2):
        put(client, bucket, str(number), 300_000)
    assert code_of(lambda: put(client, bucket, "2", 300_000)) == "QuotaExceeded"
    for _ in range(4):
        put(client, bucket, "1", 300_000)  # replaced, not added
    client.remove_object(bucket, "0")
    put(client, bucket, "2", 300_000)


def test_copies_count_as_what_is_sent(access: Open) -> None:
    given = access(stored_bytes=MB)
    put(given.client, given.bucket, "a", 600_000)
    copy = CopySource(given.bucket, "a")
    assert code_of(lambda: given.client.copy_object(given.bucket, "b", copy)) == "QuotaExceeded"


def test_bytes_sent_and_moved_have_caps_of_their_own(access: Open) -> None:
    given = access(bytes_sent=MB)
    for _ in range(3):
        put(given.client, given.bucket, "a", 300_000)  # never more than one object
    assert code_of(lambda: put(given.client, given.bucket, "a", 300_000)) == "QuotaExceeded"
    given.client.stat_object(given.bucket, "a")
    moving = access(bytes_total=MB)
    put(moving.client, moving.bucket, "b", 700_000)
    assert code_of(lambda: put(moving.client, moving.bucket, "b", 700_000)) == "QuotaExceeded"


def test_calls_beyond_the_cap_are_refused(access: Open) -> None:
    given = access(requests=5)
    path = f"/{given.bucket}/none"
    answers = [given.send("GET", given.signed("GET", path)) for _ in range(8)]
    assert [one.status for one in answers] == [404] * 5 + [503] * 3
    assert answers[-1].code == "SlowDown"


def test_other_buckets_cannot_be_listed_read_filled_or_copied_from(world: World, access: Open) -> None:
    given = access()
    for bucket, key in ((world.other.run_bucket().name, "secret"), (world.own.course_bucket().name, "labels")):
        assert given.send("GET", given.signed("GET", f"/{bucket}?list-type=2")).code == "AccessDenied"
        assert given.send("GET", given.signed("GET", f"/{bucket}/{key}")).code == "AccessDenied"
        assert given.send("PUT", given.signed("PUT", f"/{bucket}/{key}"), b"x").code == "AccessDenied"
        assert given.send("DELETE", given.signed("DELETE", f"/{bucket}/{key}")).code == "AccessDenied"
        for source in (f"/{bucket}/{key}", f"{bucket}/{key}", f"/{given.bucket}/../{bucket}/{key}"):
            for written in (source, quote(source, safe="/"), quote(quote(source, safe=""), safe="")):
                headers = given.headers("PUT", f"/{given.bucket}/b", **{"x-amz-copy-source": written})
                assert given.send("PUT", f"/{given.bucket}/b", headers=headers).code == "AccessDenied"
    assert world.own.run_bucket().keys() == []


@pytest.mark.parametrize(
    "path",
    [
        "/OWN/../OTHER/secret",
        "/OWN/%2e%2e/OTHER/secret",
        "/OWN/%2E./OTHER/secret",
        "/OWN/..%2fOTHER/secret",
        "/OWN/%252e%252e/OTHER/secret",
        "/OWN/%252e%252e%252fOTHER/secret",
        "/OWN/%25252e%25252e/OTHER/secret",
        "/OWN/..%5cOTHER%5csecret",
        "/OWN/a/./b",
        "/OWN/%00/../../OTHER/secret",
        "//OTHER/secret",
        "/%2fOTHER/secret",
        "/./OTHER/secret",
        "/OWN%2f..%2fOTHER/secret",
        "/OWNOTHER/secret",
        "/minio/admin/v3/info",
        "/minio/v2/metrics/cluster",
        "http://store/OTHER/secret",
    ],
)
def test_no_path_leads_out_of_the_bucket(path: str, world: World, access: Open) -> None:
    request = lab()
    given = access(name=request.name)
    target = path.replace("OWN", given.bucket).replace("OTHER", world.other.run_bucket().name)
    refused = given.send("GET", given.signed("GET", target) if target.startswith("/") else target)
    assert refused.code == "AccessDenied"
    assert world.own.traffic(request.name).requests == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", ""),
        ("PUT", "?policy"),
        ("GET", "?policy"),
        ("PUT", "?versioning"),
        ("PUT", "/a?acl"),
        ("GET", "/a?tagging"),
        ("POST", ""),
        ("PATCH", "/a"),
    ],
)
def test_what_is_no_use_of_a_bucket_is_refused(method: str, path: str, world: World, access: Open) -> None:
    given = access()
    world.own.run_bucket().put("a", b"kept")
    refused = given.send(method, given.signed(method, f"/{given.bucket}{path}"), b"x" if method == "PUT" else b"")
    assert refused.code in {"AccessDenied", "NotImplemented"}
    assert world.own.run_bucket().get("a", at_most=10) == b"kept"


def test_an_archive_is_an_object_and_is_not_unpacked(world: World, access: Open) -> None:
    """MinIO would, into many objects: a small body could fill its disk."""
    given = access()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("bomb")
        member.size = 5 * MB
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    path = f"/{given.bucket}/archive.tar.gz"
    headers = given.headers("PUT", path, **{"X-Amz-Meta-Snowball-Auto-Extract": "true"})
    given.send("PUT", path, packed.getvalue(), headers)
    assert world.own.run_bucket().keys() in ([], ["archive.tar.gz"])


def test_nothing_is_put_against_its_condition(world: World, access: Open) -> None:
    """MinIO holds it; rclone would ignore it, so that the forwarder refuses."""
    given = access()
    path = f"/{given.bucket}/once"
    world.own.run_bucket().put("once", b"first")
    refused = given.send("PUT", path, b"second", given.headers("PUT", path, **{"If-None-Match": "*"}))
    assert refused.code in {"PreconditionFailed", "NotImplemented"}
    assert world.own.run_bucket().get("once", at_most=10) == b"first"


def test_a_key_that_begins_another_loses_nothing(world: World, access: Open) -> None:
    given = access()
    put(given.client, given.bucket, "a/b", 1)
    put(given.client, given.bucket, "c", 1)
    for key in ("a", "c/d"):
        answer = given.send("PUT", given.signed("PUT", f"/{given.bucket}/{key}"), b"x")
        assert answer.code in {"XMinioParentIsObject", "XMinioObjectExistsAsDirectory"}
    assert world.own.run_bucket().keys() == ["a/b", "c"]
    given.client.remove_object(given.bucket, "a/b")
    put(given.client, given.bucket, "a", 1)
