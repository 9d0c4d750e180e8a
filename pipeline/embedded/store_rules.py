"""What may be asked of a store: chosen paths, or whatever a program does with a bucket of its own.

A path is judged as it stands in the request, since the store judges its signature so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from pipeline.embedded.s3_errors import Refusal

COPY_SOURCE = "x-amz-copy-source"
DECODED_AT_MOST = 4
PARAMETERS = {
    "location", "uploads", "uploadId", "partNumber", "delete", "list-type", "prefix", "delimiter", "marker",
    "continuation-token", "start-after", "max-keys", "fetch-owner", "encoding-type", "metadata", "key-marker",
    "upload-id-marker", "max-uploads", "part-number-marker", "max-parts", "max-buckets", "x-id",
}  # fmt: skip
"""Of a bucket and its objects. What else S3 has (acl, policy, tagging) rclone takes for a plain read or write."""
SIGNING, ANSWERING = "X-Amz-", "response-"
OF_OBJECTS = {"GET", "HEAD", "PUT", "POST", "DELETE"}
DENIED = Refusal(403, "AccessDenied", "this run may not do that")


@dataclass(frozen=True)
class Asked:
    """A request as far as rules look at it. `source` is the object that the store is asked to copy."""

    method: str
    path: str
    parameters: frozenset[str] = frozenset()
    source: str | None = None


def asked(request: web.Request) -> Asked:
    path, _, query = request.raw_path.partition("?")
    names = frozenset(name for name, _ in parse_qsl(query, keep_blank_values=True))
    return Asked(request.method, path, names, request.headers.get(COPY_SOURCE))


class Ruling(Protocol):
    def refusal(self, asked: Asked) -> Refusal | None:
        """None where it passes."""
        ...


@dataclass(frozen=True)
class Rule:
    """(method, path) pairs that pass: equal paths when `exact`, else paths that begin so."""

    allowed: tuple[tuple[str, str], ...]
    exact: bool = False

    def refusal(self, asked: Asked) -> Refusal | None:
        allowed = self.allows(asked.method, asked.path)
        return None if allowed and (asked.source is None or self.allows_copy(asked.source)) else DENIED

    def allows(self, method: str, path: str) -> bool:
        """`path` without the query. Dots that climb never pass, however written."""
        if climbs(path):
            return False
        return any(
            method == verb and (path == place if self.exact else path.startswith(place)) for verb, place in self.allowed
        )

    def allows_copy(self, source: str) -> bool:
        """An object copied by the store is read as much as one that is fetched."""
        return self.allows("GET", "/" + source.partition("?")[0].lstrip("/"))


@dataclass(frozen=True)
class OwnBucket:
    """All that a program does with one bucket and its objects; of other buckets it learns nothing, not even a name."""

    name: str

    def refusal(self, asked: Asked) -> Refusal | None:
        if climbs(asked.path):
            return DENIED
        bucket, _, key = asked.path[1:].partition("/")
        if bucket != self.name:
            return self.elsewhere(asked, bucket)
        if asked.source is not None and not self.holds(asked.source):
            return Refusal(403, "AccessDenied", f"objects are copied within {self.name} only")
        unknown = sorted(name for name in asked.parameters if not is_known(name))
        if unknown:
            return Refusal(501, "NotImplemented", f"{unknown[0]} is not offered here")
        return None if asked.method in OF_OBJECTS and (key or self.of_bucket(asked)) else DENIED

    def of_bucket(self, asked: Asked) -> bool:
        """The bucket is looked into, made although it is there, and objects are deleted by a list of their keys."""
        plain = asked.method == "PUT" and all(name.startswith(SIGNING) for name in asked.parameters)
        return asked.method in {"GET", "HEAD"} or plain or (asked.method == "POST" and "delete" in asked.parameters)

    def elsewhere(self, asked: Asked, bucket: str) -> Refusal | None:
        """`list_buckets` passes: the store names those only that the key opens."""
        if not asked.path.startswith("/"):
            return DENIED
        if not bucket:
            return None if asked.method == "GET" and asked.path == "/" else DENIED
        if asked.method == "HEAD" or (asked.method == "GET" and "location" in asked.parameters):
            return Refusal(404, "NoSuchBucket", f"there is no bucket here but {self.name}")
        return Refusal(403, "AccessDenied", f"this run has one bucket, {self.name}, and may use and make no other")

    def holds(self, source: str) -> bool:
        path = "/" + source.partition("?")[0].lstrip("/")
        return path.startswith(f"/{self.name}/") and not climbs(path)

    def makes(self, asked: Asked) -> bool:
        """Asks for the bucket, which is there already."""
        return asked.method == "PUT" and asked.path.rstrip("/") == f"/{self.name}"


def is_known(parameter: str) -> bool:
    return parameter in PARAMETERS or parameter.startswith((SIGNING, ANSWERING))


def climbs(path: str) -> bool:
    """Whether a part of the path is `.` or `..` after any number of decodings, or holds what no key should."""
    for _ in range(DECODED_AT_MOST):
        if any(part in {"..", "."} for part in path.replace("\\", "/").split("/")) or not path.isprintable():
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True
