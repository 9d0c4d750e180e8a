"""What a store must not be asked: rclone would do it wrong without a word, MinIO past what is counted."""

from __future__ import annotations

from pipeline.embedded.s3_errors import Refusal
from pipeline.embedded.store_rules import Asked

CONDITIONS = {"if-match", "if-none-match"}
CONDITIONAL = Refusal(501, "NotImplemented", "the embedded store cannot put on a condition (If-Match, If-None-Match)")
COPIED_PARTS = Refusal(501, "NotImplemented", "the embedded store cannot make a part of an object by copying")
FOLDERS = Refusal(501, "NotImplemented", "the embedded store has no objects whose keys end with /")
UNPACKING = "x-amz-meta-snowball-auto-extract"
OWN_WAYS = Refusal(501, "NotImplemented", "archives are not unpacked here, and MinIO's own headers are not offered")


def of_rclone(asked: Asked, headers: frozenset[str]) -> Refusal | None:
    """What it would ignore or answer with nothing; `headers` are names in small letters."""
    if asked.method not in {"PUT", "POST"}:
        return None
    if headers & CONDITIONS:
        return CONDITIONAL
    if asked.path.endswith("/") and asked.path.count("/") > 2:
        return FOLDERS
    return COPIED_PARTS if asked.source is not None and "uploadId" in asked.parameters else None


def of_minio(_asked: Asked, headers: frozenset[str]) -> Refusal | None:
    """A small archive would become many large objects; deleting by force takes all that begins so."""
    own = any(name == UNPACKING or name.startswith("x-minio-") for name in headers)
    return OWN_WAYS if own else None
