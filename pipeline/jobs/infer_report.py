"""What is measured of an inference, and what its report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.backends import Backends
from pipeline.calling.collecting import Home, bring_home, function_figures, records_of, unjudged
from pipeline.calling.remembered import CallState, Executing, load
from pipeline.data.mnist import Bytes
from pipeline.embedded.contract import Usage
from pipeline.errors import InfrastructureError
from pipeline.figures import Figures, Interval, KeyFigure, Listed, WorkerFigures
from pipeline.files import write_json
from pipeline.jobs.infer_mistakes import Mistake, drawn
from pipeline.jobs.infer_phases import (
    FAILED,
    PROBLEMS,
    Outcome,
    Phase,
    latency_of,
    number_in,
    percentile,
    plans,
    remembered,
)
from pipeline.jobs.infer_pictures import SHOWN, hidden_labels, pictures_of
from pipeline.kinds.infer import InferData, InferJob
from pipeline.reporting.words import count, megabytes, percent, seconds, share
from pipeline.run import Run, data_of, job_of

SHOWN_ROW = "shown"
MOST_LOGS = 10
"""Logs of hidden calls that failed, kept for staff."""
UNANSWERED = "no call was answered"


@dataclass(frozen=True)
class Scored:
    """All hidden calls in the order of their pictures, with what is right."""

    calls: Sequence[Outcome]
    labels: Bytes

    @property
    def mistakes(self) -> list[int]:
        """Numbers of the pictures that were answered wrongly."""
        return [at for at, one in enumerate(self.calls) if not one.problem and one.answer != int(self.labels[at])]

    @property
    def failed(self) -> list[Outcome]:
        return [one for one in self.calls if one.problem]

    @property
    def accuracy(self) -> float:
        """Share of right answers among all calls: one without an answer is not right."""
        return 1 - (len(self.mistakes) + len(self.failed)) / len(self.calls)

    @property
    def errors(self) -> float:
        return len(self.failed) / len(self.calls)


def brought_home(run: Run, backends: Backends) -> Figures:
    """Logs and records into the run's folder, and the figures. Raises InfrastructureError where a record is gone."""
    state = load(run)
    home = bring_home(run, backends, state, state.calls.values())
    phases = remembered(state)
    if run.record.executed is None:
        return cut_short(run, backends, state, home, phases)
    scored = Scored([one for phase in phases for one in phase.calls], hidden_labels(run))
    keep_for_staff(run, backends, scored)
    cold_start = cold_start_of(state, home)
    measures = measured(phases, scored, cold_start)
    workers = functions_of(backends, state, phases)
    mistakes = [Mistake(at, int(scored.labels[at]), scored.calls[at].answer or 0) for at in scored.mistakes]
    shows = data_of(run, InferData).show_mistakes and bool(mistakes)
    return Figures(
        measures=measures,
        details=why_errors(scored),
        missing={name: UNANSWERED for name, value in measures.items() if value is None},
        headline=headline(measures, phases),
        key_figures=key_figures(measures, scored, phases, workers),
        listed=(
            speed_table(phases, cold_start),
            container_table(phases),
            digit_table(scored),
            shown_table(state, home),
            *problems(scored),
        ),
        pictures=(drawn(run, pictures_of(run).pixels[SHOWN:], mistakes),) if shows else (),
        workers=workers,
        intervals=all_intervals(home, phases),
        seconds=round(state.seconds - state.lost_s, 3),
        host_cpu_percent=state.host_cpu_percent,
        notes=home.notes,
    )


def cut_short(run: Run, backends: Backends, state: Executing, home: Home, phases: Sequence[Phase]) -> Figures:
    """What was measured before the job ended early: whole phases, of which nothing is graded."""
    if not phases:
        return unjudged(state, home)
    planned = plans(job_of(run, InferJob), data_of(run, InferData))
    return unjudged(state, home).model_copy(
        update={
            "listed": (speed_table(phases, cold_start_of(state, home)), container_table(phases)),
            "workers": functions_of(backends, state, phases),
            "intervals": all_intervals(home, phases),
            "notes": (*home.notes, f"not measured: {', '.join(one.name for one in planned[len(phases) :])}"),
        }
    )


def cold_start_of(state: Executing, home: Home) -> float:
    """Seconds of the very first call. Raises InfrastructureError where its record is gone."""
    first = home.records.get(state.calls["digit-0"].activations[-1])
    if first is None:
        raise InfrastructureError("the record of digit-0 is gone", hint="start the run anew")
    return latency_of(first)


def all_intervals(home: Home, phases: Sequence[Phase]) -> tuple[Interval, ...]:
    return (*(one.model_copy(update={"row": SHOWN_ROW}) for one in home.intervals), *intervals_of(phases))


def keep_for_staff(run: Run, backends: Backends, scored: Scored) -> None:
    """Every hidden answer with its label, and the logs of the first calls that failed; private."""
    rows: list[Mapping[str, Any]] = [
        {"picture": at, "label": int(scored.labels[at]), "answer": one.answer, "problem": one.problem}
        for at, one in enumerate(scored.calls)
    ]
    write_json(run.predictions / "answers.json", rows, mode=0o600)
    for one in scored.failed[:MOST_LOGS]:
        name = f"hidden-{scored.calls.index(one)}"
        records_of(run, backends, CallState(name=name, action="", activations=(one.activation,), hidden=True), ())


def measured(phases: Sequence[Phase], scored: Scored, cold_start: float) -> dict[str, float | None]:
    alone = phases[0]
    return {
        "accuracy": round(scored.accuracy, 9),
        "errors": round(scored.errors, 9),
        "cold_start": round(cold_start, 3),
        "latency_p50": rounded(alone.latency(50)),
        "latency_p95": rounded(alone.latency(95)),
        **{f"throughput_{one.at_once}": rounded(one.throughput) for one in phases},
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def functions_of(backends: Backends, state: Executing, phases: Sequence[Phase]) -> tuple[WorkerFigures, ...]:
    """One row for the shown digits and one a phase: there are hundreds of activations."""
    usage: dict[str, Usage] = {one.activation: one for one in backends.servers.usage()}
    rows = {SHOWN_ROW: [each for one in state.calls.values() for each in one.activations]}
    rows |= {one.name: [each.activation for each in (*one.warming, *one.calls)] for one in phases}
    return tuple(
        function_figures(number, CallState(name=name, action="", activations=tuple(activations)), usage)
        for number, (name, activations) in enumerate(rows.items())
    )


def intervals_of(phases: Sequence[Phase]) -> list[Interval]:
    return [
        Interval(
            activation=one.activation,
            row=phase.name,
            start=min(one.end, one.start + (one.init_s or 0.0)),
            end=one.end,
            init_s=one.init_s,
            wait_s=one.wait_s,
            status=one.problem,
        )
        for phase in phases
        for one in (*phase.warming, *phase.calls)
    ]


def headline(measures: Mapping[str, float | None], phases: Sequence[Phase]) -> str:
    most = phases[-1].at_once
    speed = f"{a_second(measures[f'throughput_{most}'])} at {most} at once"
    return f"accuracy {share(measures['accuracy'])}, {milliseconds(measures['latency_p50'])} a call, {speed}"


def key_figures(
    measures: Mapping[str, float | None], scored: Scored, phases: Sequence[Phase], workers: Sequence[WorkerFigures]
) -> tuple[KeyFigure, ...]:
    most = phases[-1].at_once
    peaks = sorted(one.peak_memory_mb for one in workers if one.peak_memory_mb is not None)[-1:]
    right = len(scored.calls) - len(scored.mistakes) - len(scored.failed)
    return (
        KeyFigure(label="Accuracy", value=share(measures["accuracy"]), note=f"{right} of {len(scored.calls)} hidden"),
        KeyFigure(label="Errors", value=count(len(scored.failed)), note=f"{percent(measures['errors'])} of the calls"),
        KeyFigure(label="Cold start", value=seconds(measures["cold_start"]), note="the first call, to its answer"),
        KeyFigure(
            label="Latency",
            value=milliseconds(measures["latency_p50"]),
            note=f"warm, median; 95 %: {milliseconds(measures['latency_p95'])}",
        ),
        KeyFigure(label="Throughput", value=a_second(measures[f"throughput_{most}"]), note=f"{most} calls at once"),
        *(
            [KeyFigure(label="Peak memory", value=megabytes(max(peaks)), note="of the largest container")]
            if peaks
            else []
        ),
    )


def speed_table(phases: Sequence[Phase], cold_start: float) -> Listed:
    first = milliseconds(cold_start)
    return Listed(
        title="Latency and throughput",
        columns=("Calls", "a second", "median", "95 %", "longest"),
        rows=(("first call", "–", first, "–", first), *(speed_row(one) for one in phases)),
        caption="Latency from OpenWhisk's taking a call to its answer, of warm containers, by activation records; "
        "answers a second by the coordinator's clock.",
    )


def speed_row(phase: Phase) -> tuple[str, ...]:
    latencies = (phase.latency(50), phase.latency(95), max(phase.latencies, default=None))
    return (phase.name, a_second(phase.throughput), *map(milliseconds, latencies))


def container_table(phases: Sequence[Phase]) -> Listed:
    rows = []
    for phase in phases:
        cold = sum(one.cold for one in (*phase.warming, *phase.calls))
        queued = percentile([one.wait_s for one in phase.calls], 95)
        failed = sum(bool(one.problem) for one in phase.calls)
        rows.append((phase.name, count(cold), milliseconds(queued), count(failed)))
    return Listed(
        title="Containers",
        columns=("Calls", "cold starts", "95 % queued", "errors"),
        rows=tuple(rows),
        caption="Calls before the timed ones start the containers, and their cold starts are counted here.",
    )


def digit_table(scored: Scored) -> Listed:
    """Counts, which show no picture."""
    rows = []
    for label in sorted({int(one) for one in scored.labels}):
        answers = [one for at, one in enumerate(scored.calls) if int(scored.labels[at]) == label]
        wrong = Counter(one.answer for one in answers if not one.problem and one.answer != label)
        taken = ", ".join(f"{answer} ({times})" for answer, times in wrong.most_common(3))
        right = sum(not one.problem and one.answer == label for one in answers)
        rows.append((str(label), count(len(answers)), count(right), taken or "–"))
    return Listed(
        title="Hidden pictures", columns=("Digit", "pictures", "right", "taken for (times)"), rows=tuple(rows)
    )


def shown_table(state: Executing, home: Home) -> Listed:
    rows = []
    for digit in range(SHOWN):
        record = home.records.get(state.calls[f"digit-{digit}"].activations[-1])
        answer = number_in(record) if record else None
        taken = milliseconds(latency_of(record) if record else None)
        rows.append((str(digit), "no number" if answer is None else str(answer), taken))
    caption = "One of each digit, of the training images, not graded. Their logs are logs/digit-0.log and so on."
    return Listed(title="Shown digits", columns=("Digit", "answer", "latency"), rows=tuple(rows), caption=caption)


def why_errors(scored: Scored) -> dict[str, str]:
    """The check on errors in words, where there were any."""
    found = Counter(PROBLEMS.get(one.problem, PROBLEMS[FAILED]) for one in scored.failed)
    reasons = ", ".join(f"{why} ({times})" for why, times in found.most_common())
    told = f"{len(scored.failed)} of {len(scored.calls)} calls with hidden pictures had no answer: {reasons}"
    return {"errors": told} if found else {}


def problems(scored: Scored) -> list[Listed]:
    """Why calls had no answer, from a fixed list; no table where all had one."""
    found = Counter(one.problem for one in scored.failed)
    rows = tuple((PROBLEMS.get(one, PROBLEMS[FAILED]), count(times)) for one, times in found.most_common())
    return [Listed(title="Calls without an answer", columns=("Why", "calls"), rows=rows)] if rows else []


def milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{1000 * value:.0f} ms" if value < 10 else seconds(value)


def a_second(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}/s" if value < 100 else f"{value:.0f}/s"
