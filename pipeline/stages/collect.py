"""Stage 8: logs, records and figures of every activation come into the run's folder."""

from __future__ import annotations

from pipeline.backends import Backends
from pipeline.jobs import kind
from pipeline.listener import StageLog
from pipeline.run import Run


def collect(run: Run, backends: Backends, log: StageLog) -> None:
    """Brings in what the job left; what is missing is named in the figures, never guessed."""
    assert run.record.checked is not None, "collect comes after check"
    kind(run.record.checked.job.kind).collect(run, backends, log)
    run.update(collected=True)
