"""What `rclone serve s3` does wrong without a word, refused before it (design, decision 14)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pipeline.embedded.s3_errors import Refusal
from pipeline.embedded.store_rules import Asked

CONDITIONS = {"if-match", "if-none-match"}
CONDITIONAL = Refusal(501, "NotImplemented", "the embedded store cannot put on a condition (If-Match, If-None-Match)")
COPIED_PARTS = Refusal(501, "NotImplemented", "the embedded store cannot make a part of an object by copying")
# codes and status are MinIO's, which has the same rule
UNDER_AN_OBJECT = Refusal(400, "XMinioParentIsObject", "an object's key may not be the beginning of another's: use a/b")
OVER_OBJECTS = Refusal(409, "XMinioObjectExistsAsDirectory", "an object's key may not be the beginning of another's")


@dataclass(frozen=True)
class RcloneFaults:
    """Looks into `folder`, whose folders are the buckets."""

    folder: Path

    def refusal(self, asked: Asked, headers: frozenset[str]) -> Refusal | None:
        """`headers` are names in small letters."""
        if asked.method not in {"PUT", "POST"}:
            return None
        if headers & CONDITIONS:
            return CONDITIONAL
        if asked.source is not None and "uploadId" in asked.parameters:
            return COPIED_PARTS
        bucket, _, key = unquote(asked.path).strip("/").partition("/")
        return self.prefix(self.folder / bucket, key) if key else None

    def prefix(self, bucket: Path, key: str) -> Refusal | None:
        """It would lose what lies below the key, or fail for ever below an object."""
        try:
            place = bucket / key
            above = place.parent
            while above != bucket:
                if above.is_file():
                    return UNDER_AN_OBJECT
                above = above.parent
            return OVER_OBJECTS if place.is_dir() and holds_files(place) else None
        except (OSError, ValueError):  # no path at all: the store says so itself
            return None


def holds_files(folder: Path) -> bool:
    return any(files for _, _, files in os.walk(folder))
