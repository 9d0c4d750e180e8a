"""What is measured of a program of functions, and what its report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.backends import Backends
from pipeline.backends.servers import Traffic
from pipeline.calling.collecting import Home, stored
from pipeline.calling.remembered import Executing
from pipeline.calling.traffic import traffic_table
from pipeline.figures import Figures, KeyFigure, Listed
from pipeline.judging import Verdict
from pipeline.kinds.function import CASE, Case, FunctionJob
from pipeline.reporting.words import count, megabytes, percent, seconds
from pipeline.run import Run, job_of


@dataclass(frozen=True)
class Judged:
    """A case with its verdict, and how long it took from its invocation to its answer, in seconds."""

    case: Case
    verdict: Verdict
    seconds: float


def figures_of(run: Run, backends: Backends, state: Executing, home: Home, judged: Sequence[Judged]) -> Figures:
    right = sum(one.verdict.right for one in judged)
    invocations = sum(len(one.activations) for one in state.calls.values())
    seconds_in_all = round(sum(one.seconds for one in judged), 3)
    cases = {f"{CASE}{one.case.name}": one for one in judged}
    traffic = backends.servers.traffic("function") if job_of(run, FunctionJob).reaches_store else None
    return Figures(
        measures={
            "correct": right / len(judged),
            "invocations": float(invocations),
            **{name: float(one.verdict.right) for name, one in cases.items()},
        },
        details={name: one.verdict.words for name, one in cases.items()},
        hints={name: one.verdict.hint for name, one in cases.items() if one.verdict.hint},
        headline=f"{right} of {len(judged)} cases right",
        key_figures=key_figures(right, judged, seconds_in_all, home, traffic),
        listed=(case_table(judged), *([traffic_table(traffic, home.seconds)] if traffic else [])),
        workers=home.functions,
        intervals=home.intervals,
        seconds=seconds_in_all,
        **stored(traffic),
        host_cpu_percent=state.host_cpu_percent,
        notes=home.notes,
    )


def key_figures(
    right: int, judged: Sequence[Judged], seconds_in_all: float, home: Home, traffic: Traffic | None
) -> tuple[KeyFigure, ...]:
    activations = len(home.records)
    peaks = [one.peak_memory_mb for one in home.functions if one.peak_memory_mb is not None]
    figures = [
        KeyFigure(label="Cases right", value=f"{right} of {len(judged)}"),
        KeyFigure(label="Time to complete", value=seconds(seconds_in_all), note="all cases, one after another"),
        KeyFigure(label="Functions", value=count(activations), note=f"{seconds(home.seconds)} together"),
    ]
    if peaks:
        figures.append(KeyFigure(label="Peak memory", value=megabytes(max(peaks)), note="of the largest function"))
    if traffic and home.seconds:
        part = percent(min(1.0, traffic.seconds / home.seconds))
        figures.append(KeyFigure(label="Communication", value=part, note="of the functions' time, with the store"))
    return tuple(figures)


def case_table(judged: Sequence[Judged]) -> Listed:
    return Listed(
        title="Cases",
        columns=("Case", "found", "time to complete"),
        rows=tuple(
            (one.case.name, one.verdict.words.partition(": ")[2] or one.verdict.words, seconds(one.seconds))
            for one in judged
        ),
        caption="A case's time goes from its invocation to its answer. Of hidden cases only the verdict is shown.",
        numbers=False,
    )
