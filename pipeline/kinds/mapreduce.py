"""The kind `mapreduce`: `map` and `reduce` of a student's, run by a framework of the course's, judged by its output."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.kinds.contract import MEMORY, DataSettings, JobSettings, Measure, Traits

BACKUPS_AT_ONCE = 2


class MapReduceJob(JobSettings):
    """M mappers, each with a split of the input, then R reducers, each with a bucket of the keys."""

    kind: Literal["mapreduce"] = "mapreduce"
    entry: str = Field(default="mapreduce.py", pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.py$")
    mappers: int = Field(default=4, ge=1, le=64)
    reducers: int = Field(default=2, ge=1, le=64)
    buffer_mb: int = Field(default=16, ge=1, le=1024, description="pairs in memory before a mapper spills them")
    shuffle_mb: int = Field(default=256, ge=1, le=8192, description="the most that all mappers may store")
    output_mb: int = Field(default=32, ge=1, le=64, description="the most that all reducers may give")
    backups: bool = Field(default=True, description="a second activation for a function that takes much longer")

    @property
    def file(self) -> str:
        return self.entry

    @property
    def at_once(self) -> int:
        return max(self.mappers, self.reducers) + (BACKUPS_AT_ONCE if self.backups else 0)

    def in_words(self) -> str:
        mappers = f"{self.mappers} mapper{'s' if self.mappers > 1 else ''}"
        reducers = f"{self.reducers} reducer{'s' if self.reducers > 1 else ''}"
        return f"{mappers}, {reducers}, {self.buffer_mb} MB of pairs in memory, {'' if self.backups else 'no '}backups"


class MapReduceData(DataSettings):
    """The lines of a text, and what is right: a reference of the course's, a file, or a predicate of staff's."""

    kind: Literal["mapreduce"] = "mapreduce"
    name: Literal["brown", "text"] = "brown"
    folder: Path | None = Field(default=None, description="brown: its 500 files, which are here already")
    text: Path | None = Field(default=None, description="text: a file, or a folder of files")
    reference: Literal["", "word-count"] = ""
    expected: Path | None = Field(default=None, description="a JSON file: an object, or a list of [key, value]")
    tolerance: float = Field(default=0.0, ge=0, description="of numbers, relative or absolute")
    predicates: Path | None = Field(default=None, description="a Python file of staff's")
    predicate: str = Field(default="", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    hidden: bool = Field(default=False, description="input, logs and output are staff's")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.name == "text") != (self.text is not None):
            raise ValueError("`text` names a file or a folder where name is 'text', and only there")
        if self.folder is not None and self.name != "brown":
            raise ValueError("`folder` is Brown's; a text of your own is named by `text`")
        if (self.predicates is None) != (not self.predicate):
            raise ValueError("`predicate` names a function of the file `predicates`: give both or neither")
        if sum((bool(self.reference), self.expected is not None, bool(self.predicate))) != 1:
            raise ValueError("what is right is said by one of reference = 'word-count', `expected` and `predicate`")
        return self


MAPREDUCE = Traits(
    MapReduceJob,
    MapReduceData,
    tasks=("map", "reduce"),
    defines=("map", "reduce"),
    measures={
        "correct": Measure("output", digits=0, next_step="compare the output with what is expected, key by key"),
        "shuffle_bytes": Measure("bytes shuffled", " B", 0, "define `combine`, and give shorter keys and values"),
        "attempts": Measure("number of activations", "", 0, "let `map` and `reduce` fail less often"),
        MEMORY: Measure("peak memory", " MB", 0, "hold less in memory at a time, or set a smaller buffer_mb"),
    },
)
