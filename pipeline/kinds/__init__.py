"""Kinds of job as staff and students set them: the table. What a kind does stands in `pipeline.jobs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from pipeline.kinds.contract import JobSettings, Measure, Traits
from pipeline.kinds.function import FUNCTION, FunctionData, FunctionJob
from pipeline.kinds.infer import INFER, InferData, InferJob
from pipeline.kinds.mapreduce import MAPREDUCE, MapReduceData, MapReduceJob
from pipeline.kinds.matrix import MATRIX, MatrixData, MatrixJob
from pipeline.kinds.train import TRAIN, TrainData, TrainJob

DEFAULT_KIND = "train"


def kind_of(settings: Any) -> str:
    """The kind that settings are of: a job or data that do not say it are those of training."""
    kind = settings.get("kind", DEFAULT_KIND) if isinstance(settings, dict) else getattr(settings, "kind", "")
    return kind if isinstance(kind, str) else ""


Job = Annotated[
    Annotated[TrainJob, Tag("train")]
    | Annotated[FunctionJob, Tag("function")]
    | Annotated[InferJob, Tag("infer")]
    | Annotated[MapReduceJob, Tag("mapreduce")]
    | Annotated[MatrixJob, Tag("matrix")],
    Discriminator(kind_of),
]
Data = Annotated[
    Annotated[TrainData, Tag("train")]
    | Annotated[FunctionData, Tag("function")]
    | Annotated[InferData, Tag("infer")]
    | Annotated[MapReduceData, Tag("mapreduce")]
    | Annotated[MatrixData, Tag("matrix")],
    Discriminator(kind_of),
]
TRAITS: Mapping[str, Traits] = {
    "train": TRAIN,
    "function": FUNCTION,
    "infer": INFER,
    "mapreduce": MAPREDUCE,
    "matrix": MATRIX,
}


def openable(job: JobSettings) -> frozenset[str]:
    """The keys of a job that an assignment can open to submissions: all but its kind."""
    return frozenset(type(job).model_fields) - {"kind"}


def measure_of(kind: str, name: str) -> Measure:
    """A measure of that kind; settings have refused every other name before."""
    found = TRAITS[kind].measure(name)
    assert found is not None, f"{kind} measures no {name}"
    return found
