"""Store: contract. One protocol, S3, always through the minio client (docs/design.md, decision 14)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Protocol


class Bucket(Protocol):
    """One bucket, reached with one key pair."""

    name: str

    def put(self, key: str, content: bytes | Path, *, content_type: str = "application/octet-stream") -> None: ...

    def get(self, key: str, *, at_most: int) -> bytes:
        """The object's bytes. Raises KeyError where there is none, LimitError where it has more than `at_most`."""
        ...

    def exists(self, key: str) -> bool: ...

    def keys(self, prefix: str = "") -> list[str]: ...

    def delete(self, key: str) -> None: ...

    def url(self, key: str, *, method: str = "GET", valid_for: timedelta, address: str | None = None) -> str:
        """A signed URL for one object, for the address that the reader sees (host:port, none: the store's own)."""
        ...
