"""The temporary keys of a run: kept in a file, and made anew where none lasts long enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.backends.store import Key
from pipeline.files import write_json

SPARE = timedelta(hours=1)
"""A key lives so much longer than it is asked for: the next ones who ask get the same."""
LONGEST = timedelta(days=7) - SPARE
Keys = TypeAdapter(tuple[Key, ...])


class RunKeys:
    """`make` asks the store for one that lives so long. The file is its owner's alone."""

    def __init__(self, file: Path, make: Callable[[timedelta], Key]) -> None:
        self.file = file
        self.make = make

    def lasting(self, valid_for: timedelta) -> Key:
        """One that lives so long, a week less an hour at most. Raises what `make` does."""
        wanted = time.time() + min(valid_for, LONGEST).total_seconds()
        valid = self.valid()
        if valid and (valid[-1].expires or wanted) >= wanted:
            return valid[-1]
        made = self.make(min(valid_for, LONGEST) + SPARE)
        write_json(self.file, [asdict(one) for one in (*valid, made)], mode=0o600)
        return made

    def valid(self) -> tuple[Key, ...]:
        """All that have not expired, the newest last."""
        try:
            kept = Keys.validate_json(self.file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return ()
        return tuple(one for one in kept if one.expires is None or one.expires > time.time())
