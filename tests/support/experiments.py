"""An experiment as it looks when its runs have ended, for the tests of statistics and page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import Outcome
from pipeline.experiments.grid import Setting, folder_of, points_of
from pipeline.experiments.record import Experiment, Load, Machine, MeasuredRun, RunFigures
from pipeline.experiments.statistics import with_summary
from pipeline.settings import Isolation, Sandbox

BEGUN = datetime(2026, 8, 1, 10, 15, tzinfo=UTC)


def ran(number: int, repeat: int, setting: Setting, seconds: float, **figures: Any) -> MeasuredRun:
    known: dict[str, Any] = {
        "functions": 2,
        "functions_s": 2 * seconds,
        "cold_start_s": 1.0,
        "execution_s": 1.5 * seconds,
        "communication_s": 0.5 * seconds,
        "split_source": "measured",
        "communication_percent": 25.0,
        "requests": 40,
        "bytes_sent": 1000,
        "bytes_received": 2000,
        "peak_memory_mb": 100.0 + repeat,
        "usual_memory_mb": 80.0,
        "memory_limit_mb": setting.get("memory_mb", 256),
        "cpu_s": seconds,
        "cpu_percent": 50.0,
        "host_cpu_percent": 75.0,
        "gb_seconds": float(setting.get("memory_mb", 256)) / 1024 * (2 * seconds + 1),
        "measures": {"correct": 1.0},
    }
    return MeasuredRun(
        number=number,
        repeat=repeat,
        setting=setting,
        folder=folder_of(number, setting),
        status="measured",
        outcome=Outcome.PASSED,
        run=f"run-{number}",
        points=100.0,
        max_points=100.0,
        began=BEGUN,
        wall_s=seconds + 5,
        load=Load(before_percent=3.0, after_percent=4.0),
        figures=RunFigures(seconds=seconds, **known | figures),
    )


def failed(run: MeasuredRun, cause: str, reason: str, outcome: Outcome = Outcome.LIMIT) -> MeasuredRun:
    nothing = {"points": 0.0, "figures": RunFigures()}
    return run.model_copy(
        update={"status": "failed", "outcome": outcome, "failed_for": cause, "reason": reason, **nothing}
    )


def experiment(runs: Sequence[MeasuredRun], **changes: Any) -> Experiment:
    parts: dict[str, Any] = {
        "created": BEGUN,
        "source": "submissions_example/word_count_program",
        "tree_sha256": "ab" * 32,
        "kind": "function",
        "assignment": "word-count-program",
        "title": "Words, counted",
        "sandbox": Sandbox.PROCESS,
        "isolation": Isolation.NAMESPACES,
        "cpu_effect": "A larger limit buys no CPU here.",
        "machine": Machine(processors=2, processor="a processor", memory_mb=8192, system="Linux"),
        "order_seed": 7,
        "repeat": 3,
        "parallel": ("workers",),
        "runs": tuple(runs),
    }
    return with_summary(Experiment(**parts | changes))


def timed(
    seconds: Callable[[Setting, int], float], axes: dict[str, tuple[Any, ...]], repeat: int = 3, **changes: Any
) -> Experiment:
    """Every point of the grid, each run taking the time that the function says for (setting, repeat)."""
    planned = [(one, setting) for one in range(1, repeat + 1) for setting in points_of(axes)]
    runs = [ran(at, one, setting, seconds(setting, one)) for at, (one, setting) in enumerate(planned, start=1)]
    return experiment(runs, repeat=repeat, **changes)
