"""What is measured of a map-reduce, and what its report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.backends.functions import Activation
from pipeline.backends.servers import Traffic
from pipeline.calling.collecting import Home, stored
from pipeline.calling.failures import failure
from pipeline.calling.remembered import CallState, Executing
from pipeline.figures import Figures, KeyFigure, Listed
from pipeline.jobs.mapreduce_objects import FETCH, INPUT, OUTPUT, SPILL, Objects
from pipeline.jobs.mapreduce_output import Judgement
from pipeline.reporting.words import count, megabytes, percent, seconds, size
from pipeline.text import one_line

PHASES = ("map", "reduce")
BESIDE = "ended: another attempt was first"
STOPPED = "the run was stopped meanwhile"


@dataclass(frozen=True)
class Phase:
    """The functions of a phase on the clock, in seconds since the epoch, queue and cold start included.

    `seconds` leaves out those in which nobody worked on the run.
    """

    calls: tuple[CallState, ...]
    begun: float | None
    ended: float | None
    seconds: float | None
    ran_s: float

    @property
    def activations(self) -> int:
        return sum(len(one.activations) for one in self.calls)


def figures_of(objects: Objects, state: Executing, home: Home, judgement: Judgement | None) -> Figures:
    """`judgement` is None where there is no output to judge."""
    phases = {name: phase_of(name, state, home) for name in PHASES}
    ways = {name: objects.servers.traffic(name) for name in (INPUT, SPILL, FETCH, OUTPUT)} if state.calls else {}
    whole = working_s(state, phases["map"].begun, phases["reduce"].ended) if judgement else None
    shuffled = shuffled_bytes(objects, state, ways[SPILL]) if ways else None
    attempts = sum(one.activations for one in phases.values())
    return Figures(
        measures={
            "correct": None if judgement is None else float(judgement.right),
            "shuffle_bytes": None if shuffled is None else float(shuffled),
            "attempts": float(attempts),
        },
        details={"correct": judgement.words} if judgement else {},
        headline=judgement.headline if judgement else "",
        key_figures=key_figures(judgement, whole, phases, ways, shuffled, home),
        listed=tuple(
            one
            for one in (
                phase_table(phases, ways),
                repeated_table(state, home),
                None if saw_hidden(state) else counts_table("Mappers", state, home, MAP_COUNTS),
                None if saw_hidden(state) else counts_table("Reducers", state, home, REDUCE_COUNTS),
            )
            if one is not None
        ),
        workers=home.functions,
        intervals=home.intervals,
        seconds=None if whole is None else round(whole, 3),
        **stored(sum(ways.values(), Traffic()) if ways else None),
        host_cpu_percent=state.host_cpu_percent,
        notes=home.notes,
    )


def saw_hidden(state: Executing) -> bool:
    """Whether its functions saw a hidden input: then no number that they have chosen is shown."""
    return any(one.hidden for one in state.calls.values())


def phase_of(name: str, state: Executing, home: Home) -> Phase:
    """From the first function's invocation to the last one's end, those that count."""
    calls = tuple(one for key, one in state.calls.items() if key.rpartition("-")[0] == name)
    records = [home.records[one] for call in calls for one in call.activations if one in home.records]
    counted = [home.records[call.activations[-1]] for call in calls if counts(call, home)]
    begun = min((one.start - one.wait_s for one in records), default=None)
    ended = max((one.end for one in counted), default=None)
    return Phase(calls, begun, ended, working_s(state, begun, ended), sum(one.end - one.start for one in records))


def counts(call: CallState, home: Home) -> bool:
    return call.ended and bool(call.activations) and call.activations[-1] in home.records


def working_s(state: Executing, begun: float | None, ended: float | None) -> float | None:
    return None if begun is None or ended is None else state.working_s(begun, ended)


def shuffled_bytes(objects: Objects, state: Executing, passed: Traffic) -> int:
    """What the mappers stored, all attempts; of a run that was stopped without those that were lost with the stop.

    The forwarder does not tell one attempt's bytes from another's: these lie in the store.
    """
    if not state.pauses:
        return passed.bytes_sent
    mappers = ((int(name.rpartition("-")[2]), one) for name, one in state.calls.items() if name.startswith("map-"))
    attempts = [(mapper, attempt) for mapper, one in mappers for attempt in one.attempts]
    return objects.stored_bytes(attempts)


def key_figures(
    judgement: Judgement | None,
    whole: float | None,
    phases: Mapping[str, Phase],
    ways: Mapping[str, Traffic],
    shuffled: int | None,
    home: Home,
) -> tuple[KeyFigure, ...]:
    figures = []
    if judgement is not None:
        found, _, value = judgement.headline.rpartition(", ")
        figures.append(KeyFigure(label="Output", value=value, note=found))
        note = "map " + seconds(phases["map"].seconds) + ", reduce " + seconds(phases["reduce"].seconds)
        figures.append(KeyFigure(label="Time to complete", value=seconds(whole), note=note))
    functions = sum(len(one.calls) for one in phases.values())
    activations = sum(one.activations for one in phases.values())
    note = f"{count(activations)} activations, {seconds(home.seconds)} together"
    figures.append(KeyFigure(label="Functions", value=count(functions), note=note))
    if shuffled is not None:
        figures.append(KeyFigure(label="Shuffled", value=size(shuffled), note="stored by the mappers"))
    peaks = [one.peak_memory_mb for one in home.functions if one.peak_memory_mb is not None]
    if peaks:
        figures.append(KeyFigure(label="Peak memory", value=megabytes(max(peaks)), note="of the largest function"))
    if ways and home.seconds:
        part = percent(min(1.0, sum(one.seconds for one in ways.values()) / home.seconds))
        figures.append(KeyFigure(label="Communication", value=part, note="of the functions' time, with the store"))
    return tuple(figures)


def phase_table(phases: Mapping[str, Phase], ways: Mapping[str, Traffic]) -> Listed | None:
    """Where the time went and the bytes: by the records of the activations, and a forwarder for each way."""
    if not ways:
        return None
    mapping, reducing = phases["map"], phases["reduce"]
    rows = (
        phase_row("map: splits", mapping, [ways[INPUT]]),
        phase_row("shuffle: runs", None, [ways[SPILL], ways[FETCH]]),
        phase_row("reduce: results", reducing, [ways[OUTPUT]]),
    )
    return Listed(
        title="Phases",
        columns=("", "on the clock", "in functions", "with the store", "requests", "stored", "fetched"),
        rows=rows,
        caption="On the clock: with queue and cold start. The shuffle has no time of its own there: mappers store runs "
        "while they map, reducers fetch them while they reduce. Bytes and seconds are those of all attempts; "
        "seconds of functions that run at once add up.",
    )


def phase_row(label: str, phase: Phase | None, ways: Sequence[Traffic]) -> tuple[str, ...]:
    return (
        label,
        seconds(phase.seconds) if phase else "–",
        seconds(phase.ran_s) if phase else "–",
        seconds(sum(one.seconds for one in ways)),
        count(sum(one.requests for one in ways)),
        size(sum(one.bytes_sent for one in ways)),
        size(sum(one.bytes_received for one in ways)),
    )


def repeated_table(state: Executing, home: Home) -> Listed | None:
    """Functions that were invoked more than once, and why; None where there is none."""
    again = [one for one in state.calls.values() if len(one.every_activation) > 1]
    if not again:
        return None
    return Listed(
        title="Invoked more than once",
        columns=("Function", "activations", "backups", "what became of those that do not count"),
        rows=tuple(
            (one.name, count(len(one.every_activation)), count(one.backups), "; ".join(fates(one, home)))
            for one in again
        ),
        caption="A lost function is invoked again. One that takes much longer than the others has a backup: the first "
        "of the two to end counts, the other one is ended with the phase. What was lost with a stop of the run counts "
        "nowhere else.",
        numbers=False,
    )


def fates(call: CallState, home: Home) -> list[str]:
    return [STOPPED] * len(call.stopped) + [fate(home.records.get(one), call.hidden) for one in call.activations[:-1]]


def fate(record: Activation | None, is_hidden: bool) -> str:
    if record is None:
        return "lost without a record"
    if record.success:
        return BESIDE
    reason = failure(record).reason
    if "cancelled" in reason:
        return BESIDE
    return "failed" if is_hidden else one_line(reason, 160)


Counts = tuple[tuple[str, str, Callable[[float | None], str]], ...]
MAP_COUNTS: Counts = (("lines", "lines", count), ("pairs of map", "pairs", count), ("pairs stored", "stored", count))
REDUCE_COUNTS: Counts = (("keys", "keys", count), ("results", "results", count))


def counts_table(title: str, state: Executing, home: Home, wanted: Counts) -> Listed | None:
    """What the runner says of its own work: how much a combiner saves, and how even the buckets are."""
    prefix = "map" if title == "Mappers" else "reduce"
    calls = [one for key, one in state.calls.items() if key.rpartition("-")[0] == prefix and counts(one, home)]
    if not calls:
        return None
    results = [home.records[one.activations[-1]].result for one in calls]
    return Listed(
        title=title,
        columns=("Function", *(label for label, _, _ in wanted)),
        rows=tuple(
            (call.name, *(form(whole(result, name)) for _, name, form in wanted))
            for call, result in zip(calls, results, strict=True)
        ),
        source="reported",
    )


def whole(result: Any, name: str) -> int | None:
    value = result.get(name) if isinstance(result, dict) else None
    return value if type(value) is int and 0 <= value < 2**53 else None
