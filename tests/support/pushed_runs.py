"""Runs that stop when their image is pushed, in this process: for tests of what is built, or of who uses it then."""

from __future__ import annotations

from pathlib import Path

from pipeline import flow
from pipeline.backends.choose import choose
from pipeline.beginning import new_record
from pipeline.listener import Silent
from pipeline.run import STAGE_NAMES, Request, Run
from pipeline.settings import Sandbox

BUILDING = STAGE_NAMES[: STAGE_NAMES.index("push") + 1]


def pushed_run(folder: Path, source: Path, course: Path, sandbox: Sandbox) -> Run:
    """As `pipeline stage NAME` leaves it for each name up to `push`, without a Python of its own for each."""
    run = Run.create(folder, new_record(Request(source=str(source), course_file=course, sandbox=sandbox)))
    backends = choose(run)
    for name in BUILDING:
        assert flow.stage(name, run, backends, Silent()) is None, (name, run.record.reason, run.record.faults)
    return run
