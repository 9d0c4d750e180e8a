"""What a run without a course file is: practice, with the example assignment of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.kinds import openable
from pipeline.kinds.function import Case, FunctionData, FunctionJob
from pipeline.kinds.infer import InferData, InferJob
from pipeline.kinds.mapreduce import MapReduceData, MapReduceJob
from pipeline.kinds.matrix import MatrixData, MatrixJob
from pipeline.kinds.train import TrainData, TrainJob
from pipeline.settings import Assignment, Check, Course, Limits

INPUTS = Path(__file__).resolve().parent / "data" / "examples"
"""What example assignments give to a submission."""

MNIST_TRAIN = Assignment(
    name="mnist-train",
    title="Train LeNet-5 on MNIST with two workers",
    job=TrainJob(),
    checks=(
        Check(name="accuracy", measure="accuracy", at_least=0.97, points=60),
        Check(name="gain", measure="gain", at_least=0.5, points=30),
        Check(name="seconds", measure="seconds", at_most=900, points=5),
        Check(name="peak-memory", measure="peak_memory_mb", at_most=512, points=5),
    ),
    passed_from=90,
    opens=openable(TrainJob()),
)
STATISTICS = Assignment(
    name="statistics",
    title="A function: mean and deviation of a list of numbers",
    job=FunctionJob(),
    data=FunctionData(
        cases=(
            Case(name="one", input={"numbers": [4]}, expected={"mean": 4, "deviation": 0}, points=20),
            Case(
                name="four",
                input={"numbers": [2, 4, 4, 6]},
                expected={"mean": 4.0, "deviation": 1.4142135623730951},
                compare="close",
                points=30,
            ),
            Case(name="none", input={"numbers": []}, expected={"mean": None, "deviation": None}, points=20),
            Case(
                name="large",
                input={"numbers": [1e9, 1e9 + 1, 1e9 + 2]},
                expected={"mean": 1e9 + 1, "deviation": 0.816496580927726},
                compare="close",
                hidden=True,
                points=30,
            ),
        )
    ),
    passed_from=70,
    limits=Limits(memory_mb=128, timeout_s=30, seconds=300),
    opens=openable(FunctionJob()),
)
WORD_COUNT_PROGRAM = Assignment(
    name="word-count-program",
    title="A map-reduce written whole: a master, mappers and a reducer count words",
    job=FunctionJob(invocations=32, workers=3),
    data=FunctionData(
        objects=INPUTS / "word_count",
        cases=(
            Case(
                name="rhyme",
                input={"role": "master", "objects": ["rhyme.txt"]},
                expected={"words": 23, "most": ["the", 5]},
                points=40,
            ),
            Case(
                name="both",
                input={"role": "master", "objects": ["rhyme.txt", "riddle.txt"]},
                expected={"words": 42, "most": ["the", 7]},
                points=40,
            ),
            Case(
                name="riddle",
                input={"role": "master", "objects": ["riddle.txt"]},
                expected={"words": 19, "most": ["a", 3]},
                hidden=True,
                points=20,
            ),
        ),
    ),
    passed_from=80,
    limits=Limits(memory_mb=256, timeout_s=60, seconds=600),
    opens=openable(FunctionJob()),
)
THROUGH_STORE = TrainJob(
    aggregation="allreduce", workers=3, epochs=1, batch_size=50, learning_rate=0.05, scored_checkpoints=0
)
LEARNT = (
    Check(name="accuracy", measure="accuracy", at_least=0.75, points=60),
    Check(name="gain", measure="gain", at_least=0.5, points=40),
)


def through_store(name: str, title: str, **changes: Any) -> Assignment:
    """Small: what is new there is how workers exchange, and that shows within seconds."""
    job = THROUGH_STORE.model_copy(update=changes)
    return Assignment(
        name=name,
        title=title,
        job=job,
        data=TrainData(train_rows=6000, validation_rows=0, test_rows=1000),
        checks=LEARNT,
        passed_from=90,
        limits=Limits(memory_mb=512, timeout_s=120, seconds=600),
        opens=openable(job),
    )


ALLREDUCE = through_store("mnist-allreduce", "Train through the store: worker 0 adds up the gradients")
SCATTERREDUCE = through_store(
    "mnist-scatterreduce",
    "Train through the store: models are averaged, each worker a chunk of them",
    aggregation="scatterreduce",
    algorithm="model-averaging",
    update_interval=4,
)
EASGD = through_store(
    "mnist-easgd", "Train through the store: elastic averaging (EASGD)", algorithm="easgd", update_interval=4
)
MNIST_INFER = Assignment(
    name="mnist-infer",
    title="A trained LeNet-5 as a function: which digit does a picture show?",
    job=InferJob(),
    data=InferData(show_mistakes=True),  # the hidden pictures of practice decide about no grade
    checks=(
        Check(name="accuracy", measure="accuracy", at_least=0.95, points=50),
        Check(name="errors", measure="errors", at_most=0.0, points=20),
        Check(name="cold-start", measure="cold_start", at_most=20, points=10),
        Check(name="latency", measure="latency_p95", at_most=1, points=10),
        Check(name="throughput", measure="throughput_16", at_least=4, points=10),
    ),
    passed_from=70,
    limits=Limits(memory_mb=256, timeout_s=30, seconds=300),
    opens=openable(InferJob()),
)
MATRIX_MULTIPLY = Assignment(
    name="matrix-multiply",
    title="Multiply two matrices block by block",
    job=MatrixJob(),
    data=MatrixData(rows=1024, columns=1024),
    checks=(
        Check(name="correct", measure="correct", at_least=1.0, points=70),
        Check(name="error", measure="error", at_most=1e-4, points=10),
        Check(name="moved", measure="moved_mb", at_most=30, points=20),
    ),
    passed_from=70,
    limits=Limits(memory_mb=256, timeout_s=60, seconds=600),
    opens=openable(MatrixJob()),
)
CONVOLUTION = Assignment(
    name="convolution",
    title="Convolve an image and pool it, block by block",
    job=MatrixJob(),
    data=MatrixData(operation="convolve", rows=2048, columns=2048, kernel=5, pool=2),
    checks=(
        Check(name="correct", measure="correct", at_least=1.0, points=80),
        Check(name="error", measure="error", at_most=1e-4, points=20),
    ),
    passed_from=80,
    limits=Limits(memory_mb=256, timeout_s=60, seconds=600),
    opens=openable(MatrixJob()),
)
TRAINING = (MNIST_TRAIN, ALLREDUCE, SCATTERREDUCE, EASGD)
WORD_COUNT = Assignment(
    name="word-count",
    title="Map-reduce: how often each word is in the Brown corpus",
    job=MapReduceJob(),
    data=MapReduceData(reference="word-count"),
    checks=(
        Check(name="correct", measure="correct", at_least=1, points=80),
        Check(name="shuffle", measure="shuffle_bytes", at_most=5_000_000, points=20),
    ),
    passed_from=80,
    limits=Limits(memory_mb=256, timeout_s=120, seconds=600),
    opens=openable(MapReduceJob()),
)
EXAMPLES = (
    *TRAINING,
    STATISTICS,
    WORD_COUNT_PROGRAM,
    MNIST_INFER,
    WORD_COUNT,
    MATRIX_MULTIPLY,
    CONVOLUTION,
)


def practice_course(**changes: Any) -> Course:
    """The course of a run without a course file. All keys of its jobs are open."""
    return Course(practice=True, title="Practice, not a grade", assignments=EXAMPLES, **changes)
