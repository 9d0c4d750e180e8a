"""What an experiment takes from a run's `result.json`, whatever kind of job it is of."""

from __future__ import annotations

from statistics import median
from typing import Any

from pipeline.errors import Outcome
from pipeline.experiments.record import RunFigures
from pipeline.figures import total
from pipeline.result import Metrics, Result, StageResult
from pipeline.run import Status

FAILED_FOR = {
    "memory": ("more memory than",),
    "time": ("time limit", "took longer than"),
    "processes": ("too many processes",),
}
BY_OUTCOME = {Outcome.INFRASTRUCTURE: "infrastructure", Outcome.COURSE: "settings"}


def figures_of(result: Result) -> RunFigures:
    metrics, workers = result.metrics, result.workers
    peaks = [one.peak_memory_mb for one in workers if one.peak_memory_mb is not None]
    processes = [one.processes for one in workers if one.processes is not None]
    awake_s = total([metrics.functions_s, metrics.cold_start_s])
    return RunFigures(
        seconds=metrics.seconds,
        functions=len(workers),
        functions_s=metrics.functions_s,
        cold_start_s=metrics.cold_start_s,
        queued_s=metrics.queued_s,
        **split(metrics),
        requests=metrics.store_requests,
        bytes_sent=count([metrics.bytes_sent, metrics.store_bytes_sent]),
        bytes_received=count([metrics.bytes_received, metrics.store_bytes_received]),
        peak_memory_mb=max(peaks, default=None),
        usual_memory_mb=median(peaks) if peaks else None,
        memory_limit_mb=result.memory_mb,
        cpu_s=metrics.cpu_s,
        cpu_percent=percent(metrics.cpu_s, awake_s),
        block_read=count([one.block_read for one in workers]),
        block_written=count([one.block_written for one in workers]),
        processes=max(processes, default=None),
        host_cpu_percent=result.host.cpu_percent,
        gb_seconds=metrics.gb_seconds,
        accuracy=metrics.accuracy,
        measures=metrics.measures,
    )


def split(metrics: Metrics) -> dict[str, Any]:
    """Execution, communication and waiting of all functions together.

    Where the job's own workers tell the three apart, it is theirs; else the functions' time by OpenWhisk's records, of
    which the forwarder to the store knows what went into requests.
    """
    if metrics.communication_s is not None and metrics.compute_s is not None:
        parts = (metrics.compute_s, metrics.communication_s, metrics.wait_s)
        source = "reported" if "communication_s" in metrics.reported else "measured"
    elif metrics.store_s is not None and metrics.functions_s is not None:
        with_store = min(metrics.store_s, metrics.functions_s)  # several requests at once count each
        parts, source = (metrics.functions_s - with_store, with_store, None), "measured"
    else:
        return {}
    names = ("execution_s", "communication_s", "waiting_s")
    known = {name: None if part is None else round(part, 3) for name, part in zip(names, parts, strict=True)}
    return {**known, "split_source": source, "communication_percent": percent(parts[1], total(parts))}


def percent(part: float | None, whole: float | None) -> float | None:
    return round(100 * part / whole, 2) if part is not None and whole else None


def count(values: list[int | None]) -> int | None:
    summed = total(values)
    return None if summed is None else int(summed)


def ended_whole(result: Result) -> bool:
    """Whether every stage was done and the job's time is known: it is a measured run, whatever its grade."""
    return result.metrics.seconds is not None and failed_stage(result) is None


def failed_stage(result: Result) -> StageResult | None:
    return next((one for one in result.stages if one.status is Status.FAILED), None)


def reason_of(result: Result) -> str:
    """Why a run failed, or what it missed its points for; nothing where all is well."""
    stage = failed_stage(result)
    if stage is not None:
        return f"{stage.name}: {stage.reason}"
    missed = max((one for one in result.checks if not one.passed), key=lambda one: one.max_points, default=None)
    return missed.detail if missed else ""


def failed_for(result: Result, reason: str) -> str:
    """The cause in one word, as the page shows it: `failed: memory`."""
    named = next((name for name, signs in FAILED_FOR.items() if any(sign in reason for sign in signs)), "")
    return named or BY_OUTCOME.get(result.outcome, "error")
