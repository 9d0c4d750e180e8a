"""Files of data sets as they were published: size and SHA-256, and the folder of the user's where they are kept."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.sources import SourceError
from pipeline.files import write_bytes


@dataclass(frozen=True)
class Published:
    """One file of a data set, as it is uncompressed."""

    name: str
    size: int
    sha256: str


def default_cache() -> Path:
    """Where data sets are kept when no cache is named: XDG_CACHE_HOME, else ~/.cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "ml-submission-pipeline"


def write(path: Path, content: bytes) -> None:
    """Into a folder that is this user's alone: where student code runs without namespaces, it must not read labels."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes(path, content)


def check(content: bytes, file: Published) -> None:
    """Raises SourceError unless these are exactly the published bytes."""
    if len(content) != file.size:
        raise SourceError(f"{file.name} has another size than the published {file.size} bytes")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise SourceError(f"{file.name} has another SHA-256 than the published file")


def is_right(path: Path, file: Published) -> bool:
    try:
        check(path.read_bytes(), file)
    except (OSError, SourceError):
        return False
    return True
