"""Puts together a run's result from its record, its figures and its grade."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.errors import Outcome
from pipeline.figures import Figures, Interval, WorkerFigures, ran, running_s, total
from pipeline.grading import Grade, not_graded
from pipeline.reporting.text import shown
from pipeline.result import (
    CheckResult,
    Host,
    ImageResult,
    Metrics,
    Result,
    StageResult,
    Submission,
    WorkerResult,
)
from pipeline.run import Image, Record, StageRecord, Status
from pipeline.settings import Assignment, Isolation, Sandbox, late_days

NAMES = {"worker", "name"}
SUMS = ("compute_s", "communication_s", "wait_s", "cpu_s")
COUNTS = ("steps", "bytes_sent", "bytes_received")
STORE = ("store_s", "store_requests", "store_bytes_sent", "store_bytes_received")
MB_OF_A_GB = 1024


def assignment_of(record: Record) -> Assignment | None:
    """The assignment that counts: as checked, else as named, else the course's only one."""
    if record.checked is not None:
        return record.checked.assignment
    if record.request.assignment is not None:
        return record.course.assignment(record.request.assignment)
    return record.course.assignments[0] if len(record.course.assignments) == 1 else None


def assemble(record: Record, figures: Figures, grade: Grade | None, report: StageRecord) -> Result:
    """The result of a run. `grade` is None where the run ended before it could be graded; then the record's
    outcome stands. `report` is the stage that is writing this."""
    assignment = assignment_of(record)
    outcome = grade.outcome if grade else record.outcome or Outcome.INFRASTRUCTURE
    return Result(
        run=record.run,
        course=record.course.name,
        assignment=assignment.name if assignment else None,
        attempt=record.request.attempt,
        practice=record.course.practice,
        arrived=record.request.arrived,
        seed=seed_of(record, assignment),
        submission=submission(record),
        outcome=outcome,
        points=grade.points if grade else points_without_grade(outcome),
        max_points=sum(check.points for check in assignment.graded) if assignment else None,
        headline=shown(figures.headline, 200),
        checks=tuple(bounded(check) for check in check_results(record, assignment, outcome, grade)),
        metrics=metrics(figures, days_late(record, assignment), memory_limit(assignment)),
        stages=tuple(stage_result(one) for one in (*record.stages[:-1], report)),
        workers=tuple(worker_result(one, figures) for one in figures.workers),
        host=Host(cpu_percent=figures.host_cpu_percent),
        image=image_result(record.image) if record.image else None,
        memory_mb=memory_limit(assignment),
        settings_sha256=record.settings_sha256,
        sandbox=sandbox_used(record),
        isolation=record.isolation,
        unenforced=tuple(shown(one, 300) for one in record.unenforced),
    )


def check_results(
    record: Record, assignment: Assignment | None, outcome: Outcome, grade: Grade | None
) -> tuple[CheckResult, ...]:
    if grade is not None:
        return grade.checks
    return not_graded(assignment, outcome, ended_early(record)) if assignment else ()


def ended_early(record: Record) -> str:
    """Where a run that could not be graded ended, in words."""
    failed = next((one.name for one in record.stages[:-1] if one.status is Status.FAILED), None)
    if failed:
        return f"the run ended in {failed}"
    done = next((one.name for one in record.stages[:-1] if one.status not in {Status.DONE, Status.SKIPPED}), None)
    return f"the run ended before {done} was done" if done else "there are no figures"


def points_without_grade(outcome: Outcome) -> float | None:
    return 0.0 if outcome in {Outcome.FAILED, Outcome.LIMIT} else None


def seed_of(record: Record, assignment: Assignment | None) -> int | None:
    if record.checked is not None:
        return record.checked.job.seed
    return assignment.job.seed if assignment else None


def days_late(record: Record, assignment: Assignment | None) -> int:
    return late_days(record.request.arrived, assignment.deadline) if assignment else 0


def submission(record: Record) -> Submission:
    fetched = record.fetched
    return Submission(
        student=shown(record.request.student, 200),
        source=shown(record.request.source, 500),
        commit=fetched.commit if fetched else None,
        tree_sha256=fetched.tree_sha256 if fetched else None,
    )


def bounded(check: CheckResult) -> CheckResult:
    return check.model_copy(update={"detail": shown(check.detail, 600)})


def stage_result(stage: StageRecord) -> StageResult:
    return StageResult(name=stage.name, status=stage.status, seconds=stage.seconds, reason=shown(stage.reason))


def image_result(image: Image) -> ImageResult:
    return ImageResult.model_validate(image.model_dump(include=set(ImageResult.model_fields)))


def sandbox_used(record: Record) -> Sandbox:
    """The sandbox that `auto` became, as far as the isolation that was found tells it."""
    if record.request.sandbox is not Sandbox.AUTO or record.isolation is None:
        return record.request.sandbox
    return Sandbox.DOCKER if record.isolation is Isolation.CONTAINER else Sandbox.PROCESS


def memory_limit(assignment: Assignment | None) -> int | None:
    return assignment.limits.memory_mb if assignment else None


def worker_result(worker: WorkerFigures, figures: Figures) -> WorkerResult:
    values = worker.model_dump(exclude={"reported", "state"}) | on_the_clock(ran(figures, worker.label))
    return WorkerResult(**values, **sources(values, worker.reported))


def on_the_clock(intervals: Sequence[Interval]) -> dict[str, float | None]:
    """What OpenWhisk's records say of activations, in seconds."""
    return {
        "running_s": rounded(running_s(intervals)),
        "cold_start_s": rounded(total([one.init_s or 0.0 for one in intervals])),
        "queued_s": rounded(total([one.wait_s for one in intervals])),
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def sources(values: dict[str, Any], reported: Iterable[str]) -> dict[str, Any]:
    known = [name for name, value in values.items() if value is not None and name not in NAMES]
    said = set(reported)
    return {
        "measured": tuple(name for name in known if name not in said),
        "reported": tuple(name for name in known if name in said),
    }


def billed(figures: Figures, memory_mb: int | None) -> dict[str, float | None]:
    """The job's functions on the clock, and their GB-seconds: memory limit times run and cold start, not rounded up."""
    own = tuple(one for worker in figures.workers for one in ran(figures, worker.label))
    clock = on_the_clock(own)
    functions_s, cold_start_s = clock["running_s"], clock["cold_start_s"]
    cost = None
    if functions_s is not None and memory_mb is not None:
        cost = memory_mb / MB_OF_A_GB * (functions_s + (cold_start_s or 0.0))
    return {
        "functions_s": functions_s,
        "cold_start_s": cold_start_s,
        "queued_s": clock["queued_s"],
        "gb_seconds": rounded(cost),
    }


def metrics(figures: Figures, days: int, memory_mb: int | None = None) -> Metrics:
    workers = figures.workers
    values: dict[str, Any] = {
        "accuracy": figures.accuracy,
        "accuracy_initial": figures.accuracy_initial,
        "gain": figures.gain,
        "test_rows": figures.rows,
        "seconds": figures.seconds,
        "updates": figures.updates,
        "peak_memory_mb": figures.peak_memory_mb,
        **{name: getattr(figures, name) for name in STORE},
        **billed(figures, memory_mb),
    }
    for name in SUMS:
        values[name] = total([getattr(worker, name) for worker in workers])
    for name in COUNTS:
        count = total([getattr(worker, name) for worker in workers])
        values[name] = None if count is None else int(count)
    reported = {name for worker in workers for name in worker.reported if name in SUMS + COUNTS}
    return Metrics(**values, **sources(values, reported), measures=figures.measures, late_days=days)
