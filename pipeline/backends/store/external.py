"""A MinIO with the buckets of courses and runs, opened with a course's own key; a run gets keys to its bucket alone."""

from __future__ import annotations

import json
import ssl
import time
from datetime import timedelta
from hashlib import sha256
from urllib.parse import urlsplit

import urllib3
from minio.credentials.providers import AssumeRoleProvider
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error

from pipeline.backends.store import Key, Place
from pipeline.backends.store.s3 import REGION, Pool, S3Bucket, Signing, advice, open_bucket
from pipeline.errors import CourseError, InfrastructureError
from pipeline.settings import Servers

SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=7)
"""of a temporary key: minio's client asks for no shorter ones, MinIO gives no longer ones"""
NAME = 30
IN_BUCKET = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:CreateBucket")
ON_OBJECTS = (
    "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
)  # fmt: skip


class ExternalStore:
    """Every method raises InfrastructureError where the store does not do what it is asked."""

    def __init__(self, place: Place, key: Key) -> None:
        self.place = place
        self.key = key

    def bucket(self, name: str, signing: Signing | None = None) -> S3Bucket:
        """The bucket, made if it is not there; URLs are signed with what `signing` gives."""
        return open_bucket(self.place, self.key, name, signing)

    def key_for(self, bucket: str, valid_for: timedelta) -> Key:
        """A new key to one bucket and its objects, which expires: an assumed role with a session policy."""
        lifetime = min(max(valid_for, SHORTEST), LONGEST)
        expires = time.time() + lifetime.total_seconds()
        try:
            made = AssumeRoleProvider(
                sts_endpoint=self.place.url,
                access_key=self.key.access_key,
                secret_key=self.key.secret_key,
                duration_seconds=int(lifetime.total_seconds()),
                policy=json.dumps(policy(bucket)),
                region=REGION,
                http_client=Pool(self.place.ca_file),
            ).retrieve()
        except (MinioException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise InfrastructureError(
                f"store {self.place.endpoint} gives no temporary key for {bucket}: {error}",
                hint="servers.store_auth_file must hold the key of a user, not an access key made for one",
            ) from None
        return Key(made.access_key, made.secret_key, made.session_token or "", expires)

    def remove(self, name: str, prefix: str | None = None) -> None:
        """Removes the objects that begin with `prefix`, else the bucket and all of them. Harmless where none is."""
        found = S3Bucket(self.place, self.key, name)
        with found.errors("remove", prefix or ""):
            try:
                faults = remove_all(found, prefix)
                if prefix is None and not faults:
                    found.client.remove_bucket(name)
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise
                return
        if faults:
            raise InfrastructureError(f"store {self.place.endpoint}: {name}: {faults[0]}", hint=advice("AccessDenied"))


def remove_all(bucket: S3Bucket, prefix: str | None) -> list[str]:
    """Until none is listed: MinIO lists an object below another one's key only when that is gone. Faults, if any."""
    while True:
        listed = bucket.client.list_objects(bucket.name, prefix=prefix, recursive=True)
        doomed = [DeleteObject(one.object_name) for one in listed if one.object_name]
        faults = [str(fault.message) for fault in bucket.client.remove_objects(bucket.name, doomed)]
        if faults or not doomed:
            return faults


def policy(bucket: str) -> dict[str, object]:
    """What a run's key may do; making its bucket, which is there, is no fault of a program."""
    resource = f"arn:aws:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(IN_BUCKET), "Resource": [resource]},
            {"Effect": "Allow", "Action": list(ON_OBJECTS), "Resource": [f"{resource}/*"]},
        ],
    }


def course_bucket(course: str) -> str:
    return f"course.{short(course)}"


def run_bucket(course: str, run: str) -> str:
    """No name of a course has a dot: what a policy allows for `run.COURSE.*` is of no other course."""
    return f"run.{short(course)}.{run}"


def short(course: str) -> str:
    """A bucket's name has 63 characters at most."""
    return (
        course if len(course) <= NAME else f"{course[: NAME - 9].rstrip('-')}-{sha256(course.encode()).hexdigest()[:8]}"
    )


def place_of(servers: Servers) -> Place:
    assert servers.store_endpoint is not None, "asked only where a store is named"
    parts = urlsplit(servers.store_endpoint)
    return Place(parts.netloc, parts.scheme == "https", servers.store_ca_file)


def external_store(servers: Servers) -> ExternalStore:
    """The store that a course's settings name. Raises CourseError, which never shows what the file holds."""
    path = servers.store_auth_file
    if path is None:
        raise CourseError("servers.store_endpoint needs servers.store_auth_file", hint="one line, ACCESS:SECRET")
    try:
        access, colon, secret = path.read_text().strip().partition(":")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} cannot be read: {error}", hint="check servers.store_auth_file") from None
    if not (access and colon and secret) or len(f"{access}:{secret}".split()) != 1:
        raise CourseError(f"{path} holds no key of a store", hint="one line, ACCESS:SECRET")
    place = place_of(servers)
    try:
        ssl.create_default_context(cafile=place.ca_file)
    except OSError as error:  # SSLError is one
        raise CourseError(
            f"{place.ca_file} holds no certificate: {error}", hint="check servers.store_ca_file"
        ) from None
    return ExternalStore(place, Key(access, secret))
