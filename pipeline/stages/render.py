"""render: the Dockerfile and the actions as text, from data alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pipeline.files import write_text
from pipeline.rendering import actions, actions_json, dockerfile
from pipeline.run import Rendered, done

if TYPE_CHECKING:
    from pipeline.backends import Backends
    from pipeline.listener import StageLog
    from pipeline.run import Run


def render(run: Run, backends: Backends, log: StageLog) -> None:
    """Writes exactly what would be built and registered; builds nothing. Raises CourseError for a base that is none."""
    record = run.record
    checked = done(record.checked, "check")
    base = backends.images.base(checked.assignment.base)
    text = dockerfile(base, checked.lock_sha256, has_environment=bool(checked.locked))
    registered = actions_json(actions(record.course, record.run, checked))
    write_text(run.dockerfile, text)
    write_text(run.actions_file, registered)
    run.update(rendered=Rendered(dockerfile_sha256=sha256(text), action_sha256=sha256(registered)))
    log(f"Dockerfile sha256:{sha256(text)[:12]}, actions sha256:{sha256(registered)[:12]}")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
