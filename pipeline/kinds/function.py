"""The kind `function`: `main(params) -> dict`, the course's programming model, judged by what it answers.

With `invocations` the program is a whole framework of the student's: `main` invokes its own action through OpenWhisk's
API in other roles, and all of them pass data through the run's bucket.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from pipeline.frozen import Frozen, Name
from pipeline.kinds.contract import MEMORY, DataSettings, JobSettings, Measure, Traits

CASE = "case:"
"""How the measure of one case begins: `case:NAME` is 1 where the answer was right, else 0."""


class FunctionJob(JobSettings):
    """A function, or with `invocations` a program of many."""

    kind: Literal["function"] = "function"
    workers: int = Field(default=4, ge=1, le=64, description="told to a program that invokes others")
    invocations: int = Field(default=0, ge=0, le=10_000, description="that the program may make itself, a case")
    store: bool = Field(default=False, description="whether it reaches the run's bucket; with invocations always")
    stored_mb: int = Field(default=256, ge=1, le=10_000, description="that may lie in the bucket at a time")

    @property
    def file(self) -> str:
        return "main.py"

    @property
    def at_once(self) -> int:
        return self.workers + 1 if self.invocations else 1

    @property
    def reaches_store(self) -> bool:
        return self.store or self.invocations > 0

    def in_words(self) -> str:
        if self.invocations:
            return f"a program of up to {self.invocations} invocations, told of {self.workers} workers"
        return "a function" + (" that reaches the store" if self.store else "")


class Case(Frozen):
    """One input, and what is right for it.

    `exact`: equal as JSON. `close`: the same shape, numbers within `tolerance`, relative or absolute. `predicate`: a
    function of the course's file `predicates`, called with input and answer, says whether it is right.
    """

    name: Name
    input: dict[str, JsonValue] = Field(default_factory=dict)
    expected: JsonValue = None
    compare: Literal["exact", "close", "predicate"] = "exact"
    tolerance: float = Field(default=1e-6, ge=0)
    predicate: str = Field(default="", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    hidden: bool = Field(default=False, description="input, answer and logs are staff's")
    points: float = Field(gt=0)

    @model_validator(mode="after")
    def _what_is_right_is_said(self) -> Self:
        if (self.compare == "predicate") != bool(self.predicate):
            raise ValueError(f"case {self.name!r}: `predicate` names a function where compare is 'predicate'")
        if self.compare != "predicate" and "expected" not in self.model_fields_set:
            raise ValueError(f"case {self.name!r} needs `expected`, or compare = 'predicate'")
        return self


class FunctionData(DataSettings):
    """Cases; objects that lie in the run's bucket from the start; staff's predicates."""

    kind: Literal["function"] = "function"
    cases: tuple[Case, ...] = ()
    objects: Path | None = Field(default=None, description="a folder; each file becomes an object of that name")
    predicates: Path | None = Field(default=None, description="a Python file of staff's")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [one.name for one in self.cases]
        if len(set(names)) < len(names):
            raise ValueError("two cases have the same name")
        needing = next((one.name for one in self.cases if one.compare == "predicate"), None)
        if needing is not None and self.predicates is None:
            raise ValueError(f"case {needing!r} is judged by a predicate, and `predicates` names no file with one")
        return self

    def checks(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(
            {"name": one.name, "measure": f"{CASE}{one.name}", "at_least": 1.0, "points": one.points}
            for one in self.cases
        )


class FunctionTraits(Traits):
    def measure(self, name: str) -> Measure | None:
        if name.startswith(CASE):
            step = "compare the answer with what the case expects; `main` can be called with its input at home"
            return Measure(f"case {name.removeprefix(CASE)}", digits=0, next_step=step)
        return super().measure(name)


FUNCTION = FunctionTraits(
    FunctionJob,
    FunctionData,
    tasks=("function",),
    defines=("main",),
    measures={
        "correct": Measure("share of right answers", next_step="look at the cases that are wrong"),
        "invocations": Measure("number of invocations", "", 0, "let fewer functions do more each"),
        MEMORY: Measure("peak memory", " MB", 0, "hold less in memory at a time"),
    },
)
