"""What a kind of job says of itself: its settings, its data, what a submission must define, what is measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_core import PydanticCustomError

from pipeline.frozen import Frozen


def combination(key: str, what: str, hint: str) -> PydanticCustomError:
    """The error of settings each of which is valid, but not with the others. `key` is the one to look at."""
    return PydanticCustomError("combination", "{what}", {"key": key, "what": what, "hint": hint})


class JobSettings(Frozen):
    """What the job of every kind has. A kind adds its own keys, and `kind`."""

    seed: int = Field(default=1, ge=0, lt=2**32)

    @property
    def file(self) -> str:
        """The Python file of a submission that the job starts with."""
        raise NotImplementedError

    @property
    def at_once(self) -> int:
        """How many of its functions run at a time, at the most."""
        raise NotImplementedError

    def in_words(self) -> str:
        """The settings as one readable line."""
        raise NotImplementedError


class DataSettings(Frozen):
    """What staff give a job to work on, and what of it is hidden."""

    def checks(self) -> tuple[Mapping[str, Any], ...]:
        """Checks that the data bring with them, such as one for each case; as a course file would have them."""
        return ()

    @classmethod
    def paths(cls) -> list[str]:
        """The keys that name files or folders: in a course file they are relative to its folder."""
        return [name for name, one in cls.model_fields.items() if one.annotation in (Path, Path | None)]


@dataclass(frozen=True)
class Measure:
    """A figure that checks may be on. `next_step` is what a student does about a missed one."""

    words: str
    unit: str = ""
    digits: int = 4
    next_step: str = ""


MEMORY = "peak_memory_mb"
EVERY_KIND = {
    "seconds": Measure("time to complete", " s", 1, "do less work, or share it among more functions"),
    MEMORY: Measure("peak memory", " MB", 0, "hold less in memory at a time"),
}
"""What is measured of each kind of job."""


@dataclass(frozen=True)
class Unmeasured:
    """A measure of the kind that its job does not take as `key` is set; `instead` says what it takes."""

    key: str
    instead: str


@dataclass(frozen=True)
class Traits:
    """One kind. `tasks` are the actions of its image, which the runner tells apart by the bound parameter `task`."""

    job: type[JobSettings]
    data: type[DataSettings]
    tasks: tuple[str, ...]
    defines: tuple[str, ...]
    measures: Mapping[str, Measure] = field(default_factory=dict)

    def measure(self, name: str) -> Measure | None:
        """The measure of that name; None where this kind has none."""
        return {**EVERY_KIND, **self.measures}.get(name)

    def unmeasured(self, job: JobSettings, name: str) -> Unmeasured | None:  # noqa: ARG002 (kinds override it)
        """Why a job with these settings lacks a measure that its kind has; None where it has it."""
        return None

    def names(self) -> list[str]:
        return sorted({**EVERY_KIND, **self.measures})
