"""The beginning of a run: settings, the isolation that is to be had here, and the record that all stages go on with."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from pipeline.course import load_course
from pipeline.embedded import elsewhere
from pipeline.embedded.sandbox.probe import probe
from pipeline.run import Record, Request, new_run_id
from pipeline.settings import Course, Isolation


def new_record(request: Request, run_id: str | None = None) -> Record:
    """The record of a new run. Raises CourseError with every fault of the course's settings, UsageError for no file.

    `run_id` is that of a submission, which every build of it has; none: one is made.
    """
    course = load_course(request.course_file).course
    isolation, unenforced = isolation_of(course)
    return Record(
        run=run_id or new_run_id(),
        request=request,
        course=course,
        settings_sha256=settings_sha256(course),
        created=datetime.now(UTC),
        isolation=isolation,
        unenforced=unenforced,
    )


def isolation_of(course: Course) -> tuple[Isolation, tuple[str, ...]]:
    """The level, and what is not enforced: found by a probe here, known of a real OpenWhisk's containers."""
    if course.servers.apihost is not None:
        return elsewhere.ISOLATION, elsewhere.UNENFORCED
    level = probe()
    return level.isolation, level.unenforced


def settings_sha256(course: Course) -> str:
    """The hash of all settings, so that two runs under the same settings can be told."""
    text = json.dumps(course.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
