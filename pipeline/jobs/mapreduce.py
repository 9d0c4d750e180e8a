"""The kind `mapreduce`: M mappers, then R reducers, all data by way of the store.

The input is cut into splits, one a mapper. A mapper leaves sorted runs, in which each reducer's bucket is a span; a
reducer merges its spans of all runs. Lost functions are invoked again, stragglers have backups; which attempt counts is
decided here, and only its objects are named to the next phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from pipeline.backends import Backends
from pipeline.calling.backups import Backups
from pipeline.calling.calls import Call, Calls, Ended
from pipeline.calling.collecting import Home, bring_home
from pipeline.calling.hostload import HostLoad
from pipeline.calling.remembered import Book, CallState, Executing, load
from pipeline.calling.resuming import take_up
from pipeline.data.lines import lines_of, splits
from pipeline.errors import InfrastructureError, LimitError, SubmissionError
from pipeline.figures import save_figures
from pipeline.files import write_bytes
from pipeline.jobs.mapreduce_objects import ATTEMPTS, MB, Mapped, Objects
from pipeline.jobs.mapreduce_output import Judgement, judged, read_output, ready_to_judge
from pipeline.jobs.mapreduce_report import figures_of
from pipeline.kinds.mapreduce import MapReduceData, MapReduceJob
from pipeline.listener import Listener, StageLog
from pipeline.planned_actions import planned_actions
from pipeline.run import Executed, Run, data_of, done, job_of

MAP, REDUCE = "map", "reduce"


class MapReduce:
    """Splits, mappers, reducers, and the output put together and judged."""

    def execute(self, run: Run, backends: Backends, log: StageLog, listener: Listener) -> None:
        book, job = Book(run), job_of(run, MapReduceJob)
        take_up(book, backends.servers)
        ready_to_judge(data_of(run, MapReduceData))
        objects = Objects(run, backends)
        sizes = put_splits(run, objects, book)
        actions = {str(one.parameters["task"]): one.name for one in planned_actions(run)}
        limits = done(run.record.checked, "check").assignment.limits
        phases = Phases(run, objects, Calls(book, backends.servers, limits, log, listener), actions)
        objects.open_ways(actions, sum(sizes), begun=1 + len(book.state.pauses))
        with HostLoad() as host:
            mapped = phases.map(sizes)
            log(f"{job.mappers} mappers left {sum(len(one.runs) for one in mapped)} runs")
            phases.reduce(mapped)
        seconds = phases.calls.finished()
        book.update(host_cpu_percent=host.percent)
        activations = {name: one.activations for name, one in book.state.calls.items()}
        run.update(executed=Executed(activations=activations, seconds=round(seconds, 3), notes=book.state.notes))

    def collect(self, run: Run, backends: Backends, log: StageLog) -> None:
        state = load(run)
        home = bring_home(run, backends, state, state.calls.values())
        judgement, fault = None, None
        try:
            judgement = judged_output(run, backends, state, home) if run.record.executed else None
        except (SubmissionError, LimitError) as error:
            fault = error
        save_figures(run, figures_of(Objects(run, backends), state, home, judgement))
        if fault is not None:
            raise fault
        log(judgement.words if judgement else "no output")

    def release(self, run: Run) -> None:
        """Nothing runs beside the servers."""


def judged_output(run: Run, backends: Backends, state: Executing, home: Home) -> Judgement:
    """The results of all reducers, kept in the run's folder, and whether they are right."""
    data, objects = data_of(run, MapReduceData), Objects(run, backends)
    reduced = [state.calls[name] for name in names(REDUCE, objects.job.reducers)]
    content = output_of(objects, [(one.attempts[-1], answered(one, home)) for one in reduced])
    write_bytes(run.hidden_output_file if data.hidden else run.output_file, content)
    return judged(data, run.record.course.cache, read_output(content))


def answered(call: CallState, home: Home) -> Any:
    """Raises InfrastructureError where the record of the activation that counts is gone."""
    record = home.records.get(call.activations[-1])
    if record is None:
        raise InfrastructureError(f"the record of {call.name} is gone", hint="start the run anew")
    return record.result


class Phases:
    """Mappers, then reducers."""

    def __init__(self, run: Run, objects: Objects, calls: Calls, actions: dict[str, str]) -> None:
        self.objects = objects
        self.calls = calls
        self.actions = actions
        self.hidden = data_of(run, MapReduceData).hidden
        self.backups = Backups() if objects.job.backups else None

    def map(self, sizes: Sequence[int]) -> list[Mapped]:
        """What each mapper left. Raises the first failure, LimitError where all left too much."""
        made = [partial(self.objects.for_map, number, size) for number, size in enumerate(sizes)]
        mapped = [mapped_of(one, self.objects) for one in self.run(MAP, made)]
        stored = sum(run[-1] for one in mapped for run in one.runs)
        if stored > self.objects.job.shuffle_mb * MB:
            raise LimitError(
                f"the mappers stored {stored} bytes, at most are shuffle_mb = {self.objects.job.shuffle_mb}",
                hint="define `combine`, and give shorter keys and values",
            )
        return mapped

    def reduce(self, mapped: Sequence[Mapped]) -> None:
        made = [partial(self.objects.for_reduce, number, mapped) for number in range(self.objects.job.reducers)]
        self.run(REDUCE, made)

    def run(self, phase: str, made: Sequence[Any]) -> list[Ended]:
        """All calls of a phase, each to a good end. Raises the first failure, without waiting for the others."""
        wanted = [
            Call(name, self.actions[phase], group=phase, hidden=self.hidden, attempts=ATTEMPTS, for_attempt=parameters)
            for name, parameters in zip(names(phase, len(made)), made, strict=True)
        ]
        ended = list(self.calls.run(wanted, backups=self.backups, until_failure=True).values())
        for one in ended:
            require(one)
        return ended


def names(phase: str, number: int) -> list[str]:
    return [f"{phase}-{one}" for one in range(number)]


def require(ended: Ended) -> None:
    """Raises why a function failed; of a hidden input's no more than a reason from a fixed list."""
    if ended.failure is not None and ended.call.hidden:
        reason = ended.failure.withheld.reason
        hint = "try your functions on a text of your own; its log is staff's"
        raise ended.failure.error(f"{ended.call.name}: {reason}", hint=hint)
    ended.answer()


def put_splits(run: Run, objects: Objects, book: Book) -> list[int]:
    """Puts the input's splits into the store, once; their sizes."""
    kept = book.state.kept.get("splits")
    if kept is not None:
        return [int(size) for size in kept]
    parts = splits(lines_of(data_of(run, MapReduceData), run.record.course.cache), objects.job.mappers)
    for number, content in enumerate(parts):
        objects.bucket.put(objects.split(number), content)
    book.keep(splits=[len(content) for content in parts])
    return [len(content) for content in parts]


def mapped_of(ended: Ended, objects: Objects) -> Mapped:
    """What a mapper says it left. Raises SubmissionError where that cannot be: the student's process said it."""
    runs = ended.answer().get("runs")
    buckets = objects.job.reducers
    if not isinstance(runs, list) or len(runs) > objects.runs or not all(is_run(one, buckets) for one in runs):
        raise SubmissionError(f"{ended.call.name}: it did not answer as the runner does", hint="only return from `map`")
    return Mapped(ended.attempt, runs)


def is_run(starts: Any, buckets: int) -> bool:
    """Whether these are the places where buckets begin: whole numbers from 0 on that never fall."""
    if not isinstance(starts, list) or len(starts) != buckets + 1 or not all(type(one) is int for one in starts):
        return False
    return starts[0] == 0 and all(one <= other for one, other in pairwise(starts)) and starts[-1] < 2**40


def output_of(objects: Objects, reduced: Sequence[tuple[str, Any]]) -> bytes:
    """The parts of all reducers, in order. Raises SubmissionError, LimitError where they are too large."""
    content, most = bytearray(), objects.job.output_mb * MB
    for reducer, (attempt, result) in enumerate(reduced):
        parts = result.get("parts") if isinstance(result, dict) else None
        if not isinstance(parts, list) or len(parts) > objects.parts:
            raise SubmissionError(f"reduce-{reducer}: it did not answer as the runner does", hint="only return values")
        for part in range(len(parts)):
            content += part_of(objects, objects.output(reducer, attempt, part), most - len(content), reducer)
    return bytes(content)


def part_of(objects: Objects, key: str, room: int, reducer: int) -> bytes:
    try:
        return objects.bucket.get(key, at_most=max(0, room))
    except KeyError:
        raise SubmissionError(
            f"reduce-{reducer}: a part that it named is not there", hint="only return values"
        ) from None
    except LimitError:
        raise LimitError(
            f"the results have more than output_mb = {objects.job.output_mb}", hint="let `reduce` give less"
        ) from None
