"""Brings calls home: records and logs of every activation, and what each function used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends import Backends
from pipeline.backends.functions import Activation, Functions
from pipeline.backends.servers import Traffic
from pipeline.calling.remembered import CallState, Executing
from pipeline.collected import keep_logs, keep_record
from pipeline.embedded.contract import Usage
from pipeline.figures import Figures, Interval, WorkerFigures
from pipeline.run import Run

NOT_MEASURED = (
    "not measured: memory, CPU time, disk and processes of the functions, which a real OpenWhisk does not tell"
)


@dataclass(frozen=True)
class Home:
    """What calls have left. Functions in the order in which they began, records by activation."""

    functions: tuple[WorkerFigures, ...]
    intervals: tuple[Interval, ...]
    records: Mapping[str, Activation]
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Seconds that all functions ran together, start-ups left out."""
        return sum(one.end - one.start for one in self.intervals)


def bring_home(
    run: Run, backends: Backends, state: Executing, calls: Iterable[CallState], secrets: Sequence[str] = ()
) -> Home:
    """Writes the log of each call, a hidden one's where only staff read, and the private records."""
    usage = {one.activation: one for one in backends.servers.usage()}
    functions: list[WorkerFigures] = []
    records: dict[str, Activation] = {}
    intervals: list[Interval] = []
    brought = [(call, records_of(run, backends, call, secrets)) for call in calls]
    for number, (call, found) in enumerate(sorted(brought, key=lambda one: begin(one[1]))):
        records |= {one.id: one for one in found}
        intervals += [interval(one, call.name) for one in found]
        functions.append(function_figures(number, call, usage))
    notes = (*state.notes, *(() if backends.servers.measures else (NOT_MEASURED,)))
    return Home(tuple(functions), tuple(intervals), records, notes)


def unjudged(state: Executing, home: Home) -> Figures:
    """What is known of a job that ended before there was anything to judge."""
    return Figures(
        workers=home.functions,
        intervals=home.intervals,
        host_cpu_percent=state.host_cpu_percent,
        notes=home.notes,
    )


def records_of(run: Run, backends: Backends, call: CallState, secrets: Sequence[str]) -> list[Activation]:
    """The records of a call's activations, also of those that a stop ended, which are kept, and with them its log."""
    log = (run.hidden_logs if call.hidden else run.logs) / f"{call.name}.log"
    return activations_home(run, backends.servers.functions(), call.every_activation, log, secrets)


def activations_home(
    run: Run, functions: Functions, activations: Sequence[str], log: Path, secrets: Sequence[str]
) -> list[Activation]:
    """The records of what one function or worker was invoked for, which are kept, and with them its log."""
    found: list[Activation] = []
    lines: list[str] = []
    for number, activation in enumerate(activations, start=1):
        lines.append(f"--- activation {activation} ({number} of {len(activations)})")
        record = functions.activation(activation)
        if record is None:
            lines.append("no record: it was ended before it could leave one")
            continue
        keep_record(run, record)
        lines.extend(functions.logs(activation))
        if not record.success:
            lines.append(f"ended with {record.status}: {record.result}")
        found.append(record)
    keep_logs(log, lines, secrets)
    return found


def begin(records: Sequence[Activation]) -> float:
    """When a call was first under way; what left no record comes last."""
    return min((one.start for one in records), default=math.inf)


def interval(record: Activation, row: str) -> Interval:
    """An activation on the clock. A record's start is that of its cold start, where it had one."""
    return Interval(
        activation=record.id,
        row=row,
        start=min(record.end, record.start + (record.init_s or 0.0)),
        end=record.end,
        init_s=record.init_s,
        wait_s=record.wait_s,
        status=record.status,
    )


def function_figures(number: int, call: CallState, usage: Mapping[str, Usage]) -> WorkerFigures:
    """What a function used in all of its activations, measured from outside; memory is the largest peak."""
    figures = WorkerFigures(
        worker=number, name=call.name, activations=len(call.activations), state=call.state, reported=()
    )
    used = [usage[one] for one in call.activations if one in usage]
    return figures.model_copy(update=used_in_all(used)) if used else figures


def stored(traffic: Traffic | None) -> dict[str, Any]:
    """What figures say of requests to the store, measured by the forwarder; nothing where there is none."""
    if traffic is None:
        return {}
    return {
        "store_s": round(traffic.seconds, 3),
        "store_requests": traffic.requests,
        "store_bytes_sent": traffic.bytes_sent,
        "store_bytes_received": traffic.bytes_received,
    }


def used_in_all(used: Sequence[Usage]) -> dict[str, float]:
    """Sums of time and traffic, peaks of memory and processes."""
    return {
        "cpu_s": round(sum(one.cpu_s for one in used), 3),
        "block_read": sum(one.block_read for one in used),
        "block_written": sum(one.block_written for one in used),
        "peak_memory_mb": round(max(one.peak_memory_mb for one in used), 1),
        "processes": max(one.processes for one in used),
    }
