"""Stage 7: the job itself."""

from __future__ import annotations

from pipeline.backends import Backends
from pipeline.jobs import kind
from pipeline.listener import Listener, StageLog
from pipeline.run import Run


def execute(run: Run, backends: Backends, log: StageLog, listener: Listener) -> None:
    """Runs the submission's job to its end. Raises what went wrong, with whose fault it was."""
    assert run.record.checked is not None, "execute comes after check"
    kind(run.record.checked.job.kind).execute(run, backends, log, listener)
