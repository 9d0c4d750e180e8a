"""What a submission's run came to: its `result.json`, made here or brought from a build server."""

from __future__ import annotations

from pydantic import ValidationError

from pipeline.result import Result
from pipeline.submissions.entry import Entry
from pipeline.submissions.folder import CourseFolder


def result_of(course: CourseFolder, entry: Entry) -> Result | None:
    try:
        return Result.model_validate_json((course.run(entry.id) / "result.json").read_bytes())
    except (OSError, ValidationError):
        return None
