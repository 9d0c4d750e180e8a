"""The stores that forwarders lead to: the embedded ones, or one elsewhere."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.embedded import store_faults
from pipeline.embedded.s3_errors import Refusal
from pipeline.embedded.settings import OutsideStore
from pipeline.embedded.store import Store
from pipeline.embedded.store_rules import Asked
from pipeline.errors import CourseError

NotDone = Callable[[Asked, frozenset[str]], Refusal | None]


@dataclass(frozen=True)
class Upstream:
    """A store: http(s)://host:port, what its certificate is checked against, and what it must not be asked."""

    url: str
    ca_file: Path | None = None
    verify: ssl.SSLContext | bool = True
    not_done: NotDone | None = None


def embedded(store: Store) -> Upstream:
    return Upstream(f"http://{store.endpoint}", not_done=store_faults.of_rclone)


def elsewhere(store: OutsideStore) -> Upstream:
    """Raises CourseError where the file with its certificate cannot be read."""
    if store.ca_file is None:
        return Upstream(store.url, not_done=store_faults.of_minio)
    try:
        verify = ssl.create_default_context(cafile=str(store.ca_file))
    except OSError as error:  # SSLError is one
        raise CourseError(f"{store.ca_file} cannot be read: {error}", hint="check servers.store_ca_file") from None
    return Upstream(store.url, store.ca_file, verify, store_faults.of_minio)
