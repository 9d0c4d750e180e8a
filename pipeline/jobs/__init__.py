"""Kinds of job: contract and table. Adding a kind touches no stage."""

from __future__ import annotations

import importlib
from typing import Protocol

from pipeline.backends import Backends
from pipeline.listener import Listener, StageLog
from pipeline.run import Run


class Kind(Protocol):
    """What a kind of job adds to the stages: what to invoke, and what to make of it."""

    def execute(self, run: Run, backends: Backends, log: StageLog, listener: Listener) -> None:
        """Runs the job. Called again after a kill, it goes on with what `run` remembers."""
        ...

    def collect(self, run: Run, backends: Backends, log: StageLog) -> None:
        """Brings logs and figures into the run's folder."""
        ...

    def release(self, run: Run) -> None:
        """Ends what the job started beside the servers and a kill left running. Harmless where there is nothing."""
        ...


KINDS = {
    "train": "pipeline.jobs.train:Train",
    "function": "pipeline.jobs.function:Function",
    "infer": "pipeline.jobs.infer:Infer",
    "mapreduce": "pipeline.jobs.mapreduce:MapReduce",
    "matrix": "pipeline.jobs.matrix:Matrix",
}
"""Loaded when a run is of that kind: training imports torch."""


def kind(name: str) -> Kind:
    """The kind of that name; settings have refused every other name before."""
    module, _, own = KINDS[name].partition(":")
    found: Kind = getattr(importlib.import_module(module), own)()
    return found
