"""A file put into a store, with a signed URL for those who are to read it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipeline.backends.store import Bucket
from pipeline.errors import UsageError

VALID_FOR = timedelta(days=2)


@dataclass(frozen=True)
class Uploaded:
    """`url_inside` is for containers that see the store elsewhere; empty where they do not."""

    bucket_name: str
    object_name: str
    url: str
    url_inside: str = ""


def put(bucket: Bucket, file: Path, *, valid_for: timedelta = VALID_FOR, inside: str | None = None) -> Uploaded:
    """Uploads `file` under a UUID with the file's suffix. `inside` is host:port of the store as containers see it.

    Raises UsageError where the file cannot be read, InfrastructureError where the store fails.
    """
    if not file.is_file():
        raise UsageError(f"{file} is not a file that can be put", hint="name a regular file")
    name = f"{uuid.uuid4()}{suffix(file)}"
    bucket.put(name, file)
    url_inside = bucket.url(name, valid_for=valid_for, address=inside) if inside else ""
    return Uploaded(bucket.name, name, bucket.url(name, valid_for=valid_for), url_inside)


def suffix(file: Path) -> str:
    """`.gz` alone would not say what a `.tar.gz` is."""
    return "".join(file.suffixes[-2:]) if file.suffixes[-2:-1] == [".tar"] else file.suffix
