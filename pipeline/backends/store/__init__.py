"""Store: contract. One protocol, S3, always through the minio client (docs/design.md, decision 14)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Key:
    """A key pair; a temporary one has a session token and expires, in seconds since the epoch."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires: float | None = None


@dataclass(frozen=True)
class Place:
    """Where a store answers: host:port, over TLS when `secure`, checked against `ca_file` or what the system trusts."""

    endpoint: str
    secure: bool = False
    ca_file: Path | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.endpoint}"


class Bucket(Protocol):
    """One bucket, reached with one key pair."""

    name: str

    def put(self, key: str, content: bytes | Path, *, content_type: str = "application/octet-stream") -> None: ...

    def get(self, key: str, *, at_most: int) -> bytes:
        """The object's bytes. Raises KeyError where there is none, LimitError where it has more than `at_most`."""
        ...

    def exists(self, key: str) -> bool: ...

    def keys(self, prefix: str = "") -> list[str]: ...

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The bytes of each object whose key begins so."""
        ...

    def delete(self, key: str) -> None: ...

    def url(self, key: str, *, method: str = "GET", valid_for: timedelta, address: str | None = None) -> str:
        """A signed URL for one object, valid for 7 days at most.

        `address` is the host:port at which the reader sees the store, over HTTP as forwarders speak; none: its own.
        """
        ...
