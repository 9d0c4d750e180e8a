"""What a run without a course file is: practice, with the example assignment of its kind."""

from __future__ import annotations

from typing import Any

from pipeline.settings import Assignment, Check, Course, TrainJob, openable

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
EXAMPLES = (MNIST_TRAIN,)


def practice_course(**changes: Any) -> Course:
    """The course of a run without a course file. All keys of its jobs are open."""
    return Course(practice=True, title="Practice, not a grade", assignments=EXAMPLES, **changes)
