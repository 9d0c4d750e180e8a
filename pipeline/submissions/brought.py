"""A report that was made elsewhere and brought into the course's folder: which files it may have, whole or not there.

The files gather beside the run's folder and take its place in one step, so that pages show a whole report or none. Of
each build that happens once; after a kill it goes on with the files that are there.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.files import sync_folder, write_bytes, write_json

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,119}[A-Za-z0-9_-])?"
FORM = re.compile(
    rf"result\.json|report\.(?:html|css)|junit\.xml|model\.safetensors|logs/{NAME}\.log|plots/{NAME}\.(?:svg|png)"
)
"""What `pipeline.verdict.publish` leaves, by full match; no other name becomes a path here."""
RECORD = "brought.json"


class Brought(BaseModel):
    """Of which build a folder's files are, and which stayed there, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    build: int
    left_out: dict[str, str] = {}


class Gathering:
    """The files of one build on their way to `folder`."""

    def __init__(self, folder: Path, build: int) -> None:
        self.folder, self.partial = folder, folder.with_name(f"{folder.name}.partial")
        self.brought = brought_to(self.partial) or Brought(build=-1)
        if self.brought.build != build:  # of an earlier build, which another one has followed
            shutil.rmtree(self.partial, ignore_errors=True)
            self.note(Brought(build=build))
        for torn in self.partial.rglob(".*"):  # what a kill left before it had its name
            torn.unlink()

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.partial.rglob("*") if path.is_file())

    def has(self, name: str) -> bool:
        return name in self.brought.left_out or (self.partial / name).is_file()

    def add(self, name: str, content: bytes) -> None:
        assert FORM.fullmatch(name), name
        write_bytes(self.partial / name, content)

    def leave_out(self, name: str, why: str) -> None:
        self.note(self.brought.model_copy(update={"left_out": self.brought.left_out | {name: why}}))

    def note(self, brought: Brought) -> None:
        self.brought = brought
        write_json(self.partial / RECORD, brought.model_dump(mode="json"))

    def put_in_place(self) -> None:
        """After a kill in here the folder is the old one, the new one or not there: then all is gathered again."""
        old = self.folder.with_name(f"{self.folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(old)
        self.partial.rename(self.folder)
        sync_folder(self.folder.parent)
        shutil.rmtree(old, ignore_errors=True)


def brought_to(folder: Path) -> Brought | None:
    """What was brought to `folder`; None where nothing was, or what says so cannot be read."""
    try:
        return Brought.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None
