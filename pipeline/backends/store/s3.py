"""A bucket of any S3 store, through the minio client: the embedded store, MinIO, or another one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from pipeline.backends.store import Key, Place
from pipeline.errors import InfrastructureError, LimitError

CONNECT_S, READ_S = 5, 60
TRIES = 4
RETRIED = (500, 502, 503, 504)
REGION = "us-east-1"
SMALLEST_PART, LARGEST_PART = 5 * 2**20, 64 * 2**20
ABSENT = {"NoSuchKey", "ResourceNotFound"}
LONGEST = timedelta(days=7)
"""of a signed URL, as S3 has it"""
Signing = Callable[[timedelta], Key]
"""The key to sign with for so long."""


class Pool(urllib3.PoolManager):
    """Connections that wait and retry within bounds, and read rclone's text/xml errors as the XML that they are."""

    def __init__(self, ca_file: Path | None = None) -> None:
        retries = urllib3.Retry(total=TRIES - 1, backoff_factor=0.2, status_forcelist=RETRIED, raise_on_status=False)
        timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
        certificates = None if ca_file is None else str(ca_file)
        super().__init__(num_pools=2, maxsize=8, timeout=timeout, retries=retries, ca_certs=certificates)

    def urlopen(self, method: str, url: str, *arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        response = super().urlopen(method, url, *arguments, **options)
        if response.headers.get("content-type", "").startswith("text/xml"):
            response.headers["content-type"] = "application/xml"
        return response


class S3Bucket:
    """One bucket with one key. URLs may be signed with others. Threads may share it."""

    def __init__(self, place: Place, key: Key, name: str, signing: Signing | None = None) -> None:
        self.client = client(place, key)
        self.place = place
        self.key = key
        self.name = name
        self.signing: Signing = signing or (lambda _: key)

    @property
    def endpoint(self) -> str:
        return self.place.endpoint

    def put(self, key: str, content: bytes | Path, *, content_type: str = "application/octet-stream") -> None:
        """Replaces the object in one step. Raises InfrastructureError."""
        with self.errors("put", key):
            if isinstance(content, bytes):
                self.send(key, io.BytesIO(content), len(content), content_type)
            else:
                with content.open("rb") as file:
                    self.send(key, file, content.stat().st_size, content_type)

    def send(self, key: str, file: Any, size: int, content_type: str) -> None:
        part = min(max(size, SMALLEST_PART), LARGEST_PART)
        self.client.put_object(self.name, key, file, size, content_type=content_type, part_size=part)

    def get(self, key: str, *, at_most: int) -> bytes:
        """The object's bytes. Raises KeyError where there is none, LimitError where it has more than `at_most`."""
        with self.errors("get", key):
            response = self.client.get_object(self.name, key)
            try:
                content = response.read(at_most + 1)
            finally:
                response.close()
                response.release_conn()
        if len(content) > at_most:
            raise LimitError(f"object {key} of bucket {self.name} has more than {at_most} bytes")
        return content

    def exists(self, key: str) -> bool:
        try:
            with self.errors("stat", key):
                self.client.stat_object(self.name, key)
        except KeyError:
            return False
        return True

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, sorted."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each object whose key begins with `prefix`."""
        with self.errors("list", prefix):
            found = self.client.list_objects(self.name, prefix=prefix, recursive=True)
            return {one.object_name: one.size or 0 for one in found if one.object_name}

    def delete(self, key: str) -> None:
        """Deletes the object; one that is not there is no error."""
        try:
            with self.errors("delete", key):
                self.client.remove_object(self.name, key)
        except KeyError:
            return

    def url(self, key: str, *, method: str = "GET", valid_for: timedelta, address: str | None = None) -> str:
        """A signed URL; made here without asking the store, also for an address that only containers see."""
        valid_for = min(valid_for, LONGEST)
        signer = client(self.place if address is None else Place(address), self.signing(valid_for))
        with self.errors(f"sign {method}", key):
            return str(signer.get_presigned_url(method, self.name, key, expires=valid_for))

    @contextmanager
    def errors(self, verb: str, key: str) -> Iterator[None]:
        """Turns the client's errors into ours; the message never holds a key pair or a signed URL."""
        what = f"store {self.endpoint}: {verb} {self.name}/{key}"
        try:
            yield
        except S3Error as error:
            if error.code in ABSENT and verb != "list":
                raise KeyError(key) from None
            raise InfrastructureError(f"{what}: {error.code}: {error.message}", hint=advice(error.code)) from error
        except urllib3.exceptions.HTTPError as error:
            if isinstance(getattr(error, "reason", error), urllib3.exceptions.SSLError):
                raise InfrastructureError(f"{what}: TLS failed: {error}", hint="check servers.store_ca_file") from error
            raise InfrastructureError(
                f"{what}: no answer after {TRIES} tries ({type(error).__name__})", hint="is the store running?"
            ) from error
        except MinioException as error:
            raise InfrastructureError(f"{what}: {error}", hint="look at the store's own log") from error
        except ValueError as error:
            raise InfrastructureError(f"{what}: {error}", hint="this is a fault of the caller") from error


def advice(code: str | None) -> str:
    if code in {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
        return "the key pair does not open this bucket, or the clocks differ"
    return "create it, or name another bucket" if code == "NoSuchBucket" else "look at the store's own log"


def client(place: Place, key: Key) -> Minio:
    """A client with its region set, so that signing asks nobody."""
    return Minio(
        place.endpoint,
        access_key=key.access_key,
        secret_key=key.secret_key,
        session_token=key.session_token or None,
        secure=place.secure,
        region=REGION,
        http_client=Pool(place.ca_file),
    )


def connect(
    endpoint: str, access_key: str, secret_key: str, bucket: str, secure: bool = False, ca_file: Path | None = None
) -> S3Bucket:
    """The bucket at `endpoint` (host:port), made if it is not there. Raises InfrastructureError."""
    return open_bucket(Place(endpoint, secure, ca_file), Key(access_key, secret_key), bucket)


def open_bucket(place: Place, key: Key, name: str, signing: Signing | None = None) -> S3Bucket:
    """The bucket, made if it is not there. Raises InfrastructureError."""
    found = S3Bucket(place, key, name, signing)
    with found.errors("open", ""):
        try:
            if not found.client.bucket_exists(name):
                found.client.make_bucket(name)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise
    return found
