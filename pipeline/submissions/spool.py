"""The durable spool: one file an entry, replaced whole. What is in it survives kills and power cuts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from pipeline.errors import Fault, InfrastructureError, UsageError
from pipeline.files import sync_folder, write_json
from pipeline.lock import in_turn
from pipeline.submissions.entry import Entry
from pipeline.submissions.names import checked_id

LISTED = "`pipeline queue list DIR --all` lists them"
MOST_PARSED = 20_000
REMEMBERED_S = 5.0
SETTLED_NS = 10**9
"""A folder that was changed this moment may be changed again within the same tick of its file system's clock."""


class Listed(NamedTuple):
    """What lay in a folder that was last changed at `changed`."""

    changed: int
    until: float
    entries: list[Entry]


class Spool:
    """Entries that are not over lie in `active`, the others in `over`.

    A kill between the two leaves one that is over among the active ones; whoever lists them next moves it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.active_folder = folder / "active"
        self.over_folder = folder / "over"
        self.listed: dict[Path, Listed] = {}
        self.faults: dict[Path, InfrastructureError] = {}
        for one in (self.active_folder, self.over_folder):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, entry: Entry) -> bool:
        """Puts a new entry; False where its id is known already, whatever has become of it."""
        return self.add_made(entry.id, lambda: entry)

    def add_made(self, submission: str, make: Callable[[], Entry]) -> bool:
        """Puts the entry that is made of `everything` while nobody else adds one; False where it is known."""
        with self.locked():
            if self.knows(submission):
                return False
            self.write(self.active_folder, make())
            return True

    def knows(self, submission: str) -> bool:
        """Whether there is a file of that id, readable or not; cheaper than `find`."""
        name = f"{checked_id(submission)}.json"
        places = (self.active_folder, self.over_folder, self.active_folder)  # it may move while we look
        return any((folder / name).exists() for folder in places)

    def find(self, submission: str) -> Entry | None:
        name = f"{checked_id(submission)}.json"
        for folder in (self.active_folder, self.over_folder, self.active_folder):  # it may move while we look
            entry = read(folder / name)
            if entry is not None:
                return entry
        return None

    def get(self, submission: str) -> Entry:
        """Raises UsageError where there is none of that id."""
        entry = self.find(submission)
        if entry is None:
            raise UsageError(f"there is no submission {submission}", hint=LISTED)
        return entry

    def change(self, submission: str, change: Callable[[Entry], Entry | None]) -> Entry | None:
        """Replaces an entry that is not over by what `change` makes of it; None where it is over or stays as it is.

        The entry is read under the lock: two who change the same entry see each other's change.
        """
        with self.locked():
            entry = read(self.active_folder / f"{checked_id(submission)}.json")
            if entry is None or entry.state.is_over:
                return None
            changed = change(entry)
            if changed is None or changed == entry:
                return None
            self.write(self.active_folder, changed)
            if changed.state.is_over:
                self.put_away(changed)
            return changed

    def reopen(self, submission: str, change: Callable[[Entry], Entry]) -> Entry:
        """Brings an entry back that is over or parked, such as a refused one that staff let in after all.

        It is moved first: a kill before it is changed leaves one that is over among the active ones.
        """
        with self.locked():
            changed = change(self.get(submission))
            name = f"{submission}.json"
            if (self.over_folder / name).exists():
                (self.over_folder / name).replace(self.active_folder / name)
            self.write(self.active_folder, changed)
            return changed

    def amend(self, submission: str, change: Callable[[Entry], Entry]) -> Entry:
        """Replaces an entry that is over. Raises UsageError where there is none such."""
        with self.locked():
            entry = read(self.over_folder / f"{checked_id(submission)}.json")
            if entry is None:
                raise UsageError(
                    f"submission {submission} is not over", hint="`pipeline queue list DIR` shows how it stands"
                )
            changed = change(entry)
            self.write(self.over_folder, changed)
            return changed

    def active(self) -> list[Entry]:
        """Those that are not over and can be read, the earliest first."""
        entries = self.read_all(self.active_folder)
        over = [one for one in entries if one.state.is_over]
        if over:
            with self.locked():
                for one in over:
                    self.put_away(one)
        return [one for one in entries if not one.state.is_over]

    def over(self) -> list[Entry]:
        """Those that are over and can be read, the earliest first."""
        return list(self.read_all(self.over_folder))

    def everything(self) -> list[Entry]:
        """All that can be read, also for whoever holds the lock: nothing is moved."""
        return [*self.read_all(self.active_folder), *self.read_all(self.over_folder)]

    def read_all(self, folder: Path) -> list[Entry]:
        """The folder's entries; for a moment from memory while nothing was renamed in it: whoever waits asks often."""
        changed, at = folder.stat().st_mtime_ns, time.time_ns()
        known = self.listed.get(folder)
        if known is not None and known.changed == changed and time.monotonic() < known.until:
            return known.entries
        entries = self.look_into(folder)
        if at - changed > SETTLED_NS:
            self.listed[folder] = Listed(changed, time.monotonic() + REMEMBERED_S, entries)
        return entries

    def look_into(self, folder: Path) -> list[Entry]:
        """What cannot be read is left out here and named in `faults`: one broken file must not stop everybody's."""
        entries = []
        for path in folder.glob("*.json"):
            try:
                entry = read(path)
            except InfrastructureError as error:
                self.faults[path] = error
                continue
            self.faults.pop(path, None)
            if entry is not None:  # moved while we looked
                entries.append(entry)
        for path in [one for one in list(self.faults) if not one.exists()]:
            self.faults.pop(path, None)
        return sorted(entries, key=lambda one: (one.arrived, one.id))

    def must_be_whole(self) -> None:
        """Raises InfrastructureError with each file that the lists so far have left out."""
        if self.faults:
            faults = [
                Fault(str(path), error.message.removeprefix(f"{path} "), error.hint)
                for path, error in self.faults.items()
            ]
            raise InfrastructureError(
                "files of the spool cannot be read, and what they hold is missing here",
                hint="mend each of them, then ask again",
                faults=sorted(faults, key=str),
            )

    def put_away(self, entry: Entry) -> None:
        name = f"{entry.id}.json"
        if (self.active_folder / name).exists():
            (self.active_folder / name).replace(self.over_folder / name)
            sync_folder(self.over_folder)

    def write(self, folder: Path, entry: Entry) -> None:
        write_json(folder / f"{entry.id}.json", entry.model_dump(mode="json"), mode=0o600)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with in_turn(self.folder / "lock"):
            yield


def read(path: Path) -> Entry | None:
    """None where there is no such file. Raises InfrastructureError where it is no entry."""
    try:
        there = path.stat()
        return parsed(path, there.st_ino, there.st_mtime_ns, there.st_size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be read: {error.strerror}", hint="look at its owner") from error
    except ValidationError as error:
        raise InfrastructureError(
            f"{path} is no entry of the spool: {error.error_count()} faults", hint="move it away; it is found again"
        ) from error


@lru_cache(maxsize=MOST_PARSED)
def parsed(path: Path, _node: int, _changed: int, _size: int) -> Entry:
    """Files are replaced whole: one of the same inode, time and size is the same."""
    return Entry.model_validate_json(path.read_bytes())
