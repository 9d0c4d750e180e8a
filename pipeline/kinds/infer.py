"""The kind `infer`: a trained model as a function. `predict(model, pixels)` names what a picture shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.kinds.contract import DataSettings, JobSettings, Measure, Traits, Unmeasured

THROUGHPUT = re.compile(r"throughput_([1-9][0-9]?)")
"""`throughput_16`: with 16 calls at once."""
MOST_AT_ONCE = 30
"""What OpenWhisk lets one namespace have by default."""


class InferJob(JobSettings):
    """How the function is called: one picture a call, first one after another, then many at once."""

    kind: Literal["infer"] = "infer"
    concurrency: tuple[Annotated[int, Field(ge=1, le=MOST_AT_ONCE)], ...] = Field(
        default=(1, 4, 16), min_length=1, max_length=8, description="calls at once whose throughput is measured"
    )
    burst: int = Field(default=64, ge=1, le=1000, description="pictures for each of these but 1")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.concurrency)) < len(self.concurrency):
            raise ValueError("concurrency names a number twice")
        return self

    @property
    def file(self) -> str:
        return "main.py"

    @property
    def at_once(self) -> int:
        return max(self.concurrency)

    @property
    def bursts(self) -> tuple[int, ...]:
        """Calls at once, of each burst: one at a time is what the first pictures are asked for anyway."""
        return tuple(sorted(set(self.concurrency) - {1}))

    def in_words(self) -> str:
        return f"inference, up to {self.at_once} call{'s' if self.at_once > 1 else ''} at once"


class InferData(DataSettings):
    """Pictures and what they show, which no student can list: the data set's test rows, changed by the secret."""

    kind: Literal["infer"] = "infer"
    name: Literal["mnist"] = "mnist"
    folder: Path | None = Field(default=None, description="IDX files that are here already")
    images: int = Field(default=64, ge=1, le=5000, description="pictures asked for one after another")
    show_mistakes: bool = Field(
        default=False, description="the report shows pictures that were mistaken: hidden ones, a few more each attempt"
    )


class InferTraits(Traits):
    def measure(self, name: str) -> Measure | None:
        found = THROUGHPUT.fullmatch(name)
        if found and int(found[1]) <= MOST_AT_ONCE:
            step = "let predict do less, and load_model all that is needed once"
            return Measure(f"throughput at {found[1]} at once", " calls/s", 1, step)
        return super().measure(name)

    def unmeasured(self, job: JobSettings, name: str) -> Unmeasured | None:
        found = THROUGHPUT.fullmatch(name)
        if found is None or not isinstance(job, InferJob) or int(found[1]) in job.concurrency:
            return None
        levels = ", ".join(f"throughput_{one}" for one in sorted(job.concurrency))
        return Unmeasured("concurrency", f"measured are {levels}: let `concurrency` name {found[1]} too")

    def names(self) -> list[str]:
        return sorted({*super().names(), *(f"throughput_{one}" for one in InferJob().concurrency)})


SLOW = "let predict do less: load and prepare in load_model, and use a smaller model"
INFER = InferTraits(
    InferJob,
    InferData,
    tasks=("infer",),
    defines=("load_model", "predict"),
    measures={
        "accuracy": Measure("accuracy", next_step="give the model the pixels as it was trained on them"),
        "errors": Measure("share of calls without an answer", next_step="let predict give a whole number each time"),
        "cold_start": Measure("cold start", " s", 2, "import less, and use a smaller model"),
        "latency_p50": Measure("median latency", " s", 3, SLOW),
        "latency_p95": Measure("latency of 95 in 100 calls", " s", 3, SLOW),
    },
)
