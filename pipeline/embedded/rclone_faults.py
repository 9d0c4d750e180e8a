"""What `rclone serve s3` does wrong without a word, refused before it (design, decision 14)."""

from __future__ import annotations

from pipeline.embedded.s3_errors import Refusal
from pipeline.embedded.store_rules import Asked

CONDITIONS = {"if-match", "if-none-match"}
CONDITIONAL = Refusal(501, "NotImplemented", "the embedded store cannot put on a condition (If-Match, If-None-Match)")
COPIED_PARTS = Refusal(501, "NotImplemented", "the embedded store cannot make a part of an object by copying")
FOLDERS = Refusal(501, "NotImplemented", "the embedded store has no objects whose keys end with /")


def not_done(asked: Asked, headers: frozenset[str]) -> Refusal | None:
    """What it would ignore or answer with nothing; `headers` are names in small letters."""
    if asked.method not in {"PUT", "POST"}:
        return None
    if headers & CONDITIONS:
        return CONDITIONAL
    if asked.path.endswith("/") and asked.path.count("/") > 2:
        return FOLDERS
    return COPIED_PARTS if asked.source is not None and "uploadId" in asked.parameters else None
