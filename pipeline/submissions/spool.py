"""The durable spool: one file an entry, replaced whole. What is in it survives kills and power cuts."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import InfrastructureError, UsageError
from pipeline.faults import point
from pipeline.files import write_json
from pipeline.submissions.entry import Entry, checked_id


class Spool:
    """Entries that are not over lie in `active`, the others in `over`.

    A kill between the two leaves one that is over among the active ones; whoever lists them next moves it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.active_folder = folder / "active"
        self.over_folder = folder / "over"
        for one in (self.active_folder, self.over_folder):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, entry: Entry) -> bool:
        """Puts a new entry; False where its id is known already, whatever has become of it."""
        with self.locked():
            if self.find(entry.id) is not None:
                return False
            self.write(self.active_folder, entry)
            return True

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
            raise UsageError(f"there is no submission {submission}", hint="`pipeline queue` lists them")
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
        """Brings an entry back that is over or parked, such as a refused one that staff let in after all."""
        with self.locked():
            changed = change(self.get(submission))
            self.write(self.active_folder, changed)
            (self.over_folder / f"{submission}.json").unlink(missing_ok=True)
            return changed

    def amend(self, submission: str, change: Callable[[Entry], Entry]) -> Entry:
        """Replaces an entry that is over. Raises UsageError where there is none such."""
        with self.locked():
            entry = read(self.over_folder / f"{checked_id(submission)}.json")
            if entry is None:
                raise UsageError(f"submission {submission} is not over", hint="`pipeline queue` shows how it stands")
            changed = change(entry)
            self.write(self.over_folder, changed)
            return changed

    def active(self) -> list[Entry]:
        """Those that are not over, the earliest first."""
        entries = list(read_all(self.active_folder))
        over = [one for one in entries if one.state.is_over]
        if over:
            with self.locked():
                for one in over:
                    self.put_away(one)
        return sorted((one for one in entries if not one.state.is_over), key=lambda one: (one.arrived, one.id))

    def over(self) -> list[Entry]:
        """Those that are over, the earliest first."""
        return sorted(read_all(self.over_folder), key=lambda one: (one.arrived, one.id))

    def put_away(self, entry: Entry) -> None:
        name = f"{entry.id}.json"
        if (self.active_folder / name).exists():
            point(f"rename {name}")
            (self.active_folder / name).replace(self.over_folder / name)

    def write(self, folder: Path, entry: Entry) -> None:
        write_json(folder / f"{entry.id}.json", entry.model_dump(mode="json"), mode=0o600)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def read(path: Path) -> Entry | None:
    try:
        return Entry.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InfrastructureError(
            f"{path} is no entry of the spool: {error.error_count()} faults", hint="move it away; it is found again"
        ) from error


def read_all(folder: Path) -> Iterator[Entry]:
    for path in folder.glob("*.json"):
        entry = read(path)
        if entry is not None:  # moved while we looked
            yield entry
