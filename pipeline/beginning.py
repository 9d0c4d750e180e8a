"""The beginning of a run: settings, the isolation that is to be had here, and the record that all stages go on with."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from pydantic import ValidationError

from pipeline.course import load_course
from pipeline.embedded import elsewhere
from pipeline.embedded.sandbox.probe import probe
from pipeline.errors import InfrastructureError, UsageError
from pipeline.run import Record, Request, new_run_id
from pipeline.settings import LEAST_MB, MOST_MB, Course, Isolation, Limits, Sandbox


def new_record(request: Request, run_id: str | None = None) -> Record:
    """The record of a new run. Raises CourseError with every fault of the course's settings, UsageError for no file.

    UsageError too where a memory limit is asked for and a course sets it.

    `run_id` is that of a submission, which every build of it has; none: one is made.
    """
    course = with_memory(load_course(request.course_file).course.of(request.student), request.memory_mb)
    sandbox = sandbox_of(request, course)
    isolation, unenforced = isolation_of(course, sandbox)
    return Record(
        run=run_id or new_run_id(),
        request=request.model_copy(update={"sandbox": sandbox}),
        course=course,
        settings_sha256=settings_sha256(course),
        created=datetime.now(UTC),
        isolation=isolation,
        unenforced=unenforced,
    )


def with_memory(course: Course, memory_mb: int | None) -> Course:
    """Practice with another memory limit for each function; None changes nothing."""
    if memory_mb is None:
        return course
    if not course.practice:
        raise UsageError("the memory limit is set by the course", hint="--memory is for practice, without --course")
    try:
        limited = tuple(
            one.model_copy(update={"limits": Limits.model_validate(one.limits.model_dump() | {"memory_mb": memory_mb})})
            for one in course.assignments
        )
    except ValidationError:
        raise UsageError(f"no function has {memory_mb} MB of memory", hint=f"from {LEAST_MB} to {MOST_MB} MB") from None
    return course.model_copy(update={"assignments": limited})


def sandbox_of(request: Request, course: Course) -> Sandbox:
    """What student code runs in. `auto` is docker where what is graded must be in containers, and an engine answers.

    Without one it is the process sandbox, which `check` refuses for such an assignment.
    """
    if request.sandbox is not Sandbox.AUTO:
        return request.sandbox
    named = course.assignment(request.assignment) if request.assignment else None
    least = {one.least_isolation for one in ([named] if named else course.assignments)}
    contained = Isolation.CONTAINER in least or course.servers.apihost is not None
    return Sandbox.DOCKER if contained and not course.practice and engine_answers() else Sandbox.PROCESS


def engine_answers() -> bool:
    """Whether there is a docker engine to run containers with."""
    from pipeline.embedded.docker.engine import connect  # the engine's library takes a tenth of a second

    try:
        connect().close()
    except InfrastructureError:
        return False
    return True


def isolation_of(course: Course, sandbox: Sandbox = Sandbox.AUTO) -> tuple[Isolation, tuple[str, ...]]:
    """The level, and what is not enforced: found by a probe here, known of a real OpenWhisk's containers.

    Raises InfrastructureError where docker is asked for and does not answer.
    """
    if course.servers.apihost is not None:
        return elsewhere.ISOLATION, elsewhere.UNENFORCED
    if sandbox is Sandbox.DOCKER:
        from pipeline.embedded.docker.unenforced import unenforced  # the engine's library takes a tenth of a second

        return Isolation.CONTAINER, unenforced()
    level = probe()
    return level.isolation, level.unenforced


def settings_sha256(course: Course) -> str:
    """The hash of all settings, so that two runs under the same settings can be told."""
    text = json.dumps(course.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
