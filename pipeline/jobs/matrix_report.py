"""What is measured of a computation in blocks, and what its report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.backends.servers import Traffic
from pipeline.calling.collecting import Home, stored
from pipeline.calling.remembered import Executing
from pipeline.calling.traffic import traffic_table
from pipeline.figures import Figures, KeyFigure, Listed, Picture, WorkerFigures
from pipeline.files import write_bytes
from pipeline.kinds.matrix import MatrixData, MatrixJob
from pipeline.matrices.blocks import Task, distinct
from pipeline.matrices.judging import Judged
from pipeline.matrices.picture import WIDTH, drawn, height
from pipeline.reporting.words import count, megabytes, percent, seconds, size
from pipeline.run import Run

MOST_NAMED = 3
MOST_SECONDS = 1e6
REPORTED = ("compute_s", "communication_s")
PICTURE = "blocks.svg"


@dataclass(frozen=True)
class Done:
    """What was asked, who had which share of it, and what came of it."""

    data: MatrixData
    job: MatrixJob
    shares: Sequence[Sequence[Task]]
    judged: Sequence[Judged]


def figures_of(run: Run, traffic: Traffic, state: Executing, home: Home, work: Done) -> Figures:
    """All that is graded and shown. Writes the picture of the blocks."""
    judged, shares = work.judged, work.shares
    right, error = sum(one.right for one in judged), largest_error(judged)
    unlike = next((one for one in judged if one.error is None), None)
    write_bytes(run.plots / PICTURE, drawn(judged, shares))
    moved = traffic.bytes_received + traffic.bytes_sent - int(state.kept.get("moved_in_vain", 0))
    blocks = f"{len(judged)} blocks of {work.job.block_size}"
    return Figures(
        measures={"correct": right / len(judged), "error": error, "moved_mb": moved / 1e6},
        details={"correct": words_of(judged)} | error_in_words(judged),
        missing={"error": f"{unlike.place} {unlike.words}"} if unlike else {},
        headline=f"{work.data.in_words()}, {blocks}, {in_short(right, len(judged), error)}",
        key_figures=key_figures(right, len(judged), error, state, home, traffic, moved),
        listed=(
            share_table(home.functions, shares, judged),
            moved_table(traffic, work.data, shares),
            traffic_table(traffic, home.seconds),
        ),
        pictures=(picture(judged, shares),),
        workers=tuple(with_reported(one, home) for one in home.functions),
        intervals=home.intervals,
        seconds=state.seconds,
        **stored(traffic),
        host_cpu_percent=state.host_cpu_percent,
        notes=home.notes,
    )


def largest_error(judged: Sequence[Judged]) -> float | None:
    """None where a block has none: it is missing, or is no array of numbers."""
    errors = [one.error for one in judged if one.error is not None]
    return max(errors) if len(errors) == len(judged) else None


def error_in_words(judged: Sequence[Judged]) -> dict[str, str]:
    """In which block it is, where there is one."""
    if largest_error(judged) is None:
        return {}
    worst = max(judged, key=lambda one: one.error or 0.0)
    return {"error": f"largest error is {worst.error:.1e} of the largest value of its block, in {worst.place}"}


def in_short(right: int, blocks: int, error: float | None) -> str:
    if right < blocks:
        return f"{right} of {blocks} right"
    return f"largest error {0.0 if error is None else error:.0e}".replace("e-0", "e-")


def words_of(judged: Sequence[Judged]) -> str:
    """How many are right, and which are not, as far as these can be named."""
    wrong = [f"{one.place} {one.words}" for one in judged if not one.right]
    text = f"{len(judged) - len(wrong)} of {len(judged)} blocks right"
    more = f"; {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
    return "; ".join([text, *wrong[:MOST_NAMED]]) + more


def key_figures(
    right: int, blocks: int, error: float | None, state: Executing, home: Home, traffic: Traffic, moved: int
) -> tuple[KeyFigure, ...]:
    peaks = [one.peak_memory_mb for one in home.functions if one.peak_memory_mb is not None]
    shown = "–" if error is None else f"{error:.1e}"
    figures = [
        KeyFigure(label="Blocks right", value=f"{count(right)} of {count(blocks)}"),
        KeyFigure(label="Largest error", value=shown, note="relative to the largest value of its block"),
        KeyFigure(label="Time to complete", value=seconds(state.seconds)),
        KeyFigure(label="Functions", value=count(len(home.functions)), note=f"{seconds(home.seconds)} together"),
        KeyFigure(label="Moved", value=size(moved), note="through the store"),
    ]
    if peaks:
        figures.append(KeyFigure(label="Peak memory", value=megabytes(max(peaks)), note="of the largest function"))
    if home.seconds:
        part = percent(min(1.0, traffic.seconds / home.seconds))
        figures.append(KeyFigure(label="Communication", value=part, note="of the functions' time, with the store"))
    return tuple(figures)


def share_table(
    functions: Sequence[WorkerFigures], shares: Sequence[Sequence[Task]], judged: Sequence[Judged]
) -> Listed:
    """Who computed what."""
    right = {one.task.name for one in judged if one.right}
    rows = []
    for function, share in zip(functions, shares, strict=False):
        blocks = distinct(share)
        rows.append(
            (
                function.label,
                count(len(share)),
                count(sum(one.name in right for one in share)),
                count(len(blocks)),
                size(sum(one.bytes for one in blocks)),
            )
        )
    return Listed(
        title="Functions and blocks",
        columns=("Function", "blocks", "of these right", "blocks it needs", "their size"),
        rows=tuple(rows),
        caption="What a function needs is counted once each, however often it reads it.",
    )


def moved_table(traffic: Traffic, data: MatrixData, shares: Sequence[Sequence[Task]]) -> Listed:
    """Bytes through the store against what would do."""
    tasks = [task for share in shares for task in share]
    whole = sum(rows * columns * 4 for rows, columns in data.operands.values())
    result = sum(one.bytes for one in tasks)
    each_block = sum(block.bytes for block in distinct(tasks))
    each_function = sum(block.bytes for share in shares for block in distinct(share))
    each_task = sum(block.bytes for task in tasks for block in task.reads)
    rows = (
        ("the operands, whole", whole, 0),
        ("one function that reads each block once", each_block, result),
        ("these functions, each block once a function", each_function, result),
        ("these functions, each block anew for each task", each_task, result),
        ("moved, as measured", traffic.bytes_received, traffic.bytes_sent),
    )
    return Listed(
        title="Bytes moved",
        columns=("", "read", "written", "of the operands"),
        rows=tuple(
            (name, size(read), size(written) if written else "–", f"{read / whole:.2f} times")
            for name, read, written in rows
        ),
        caption="Measured at the forwarder to the store, with the few bytes that describe each array.",
    )


def picture(judged: Sequence[Judged], shares: Sequence[Sequence[Task]]) -> Picture:
    wrong = [one.place for one in judged if not one.right]
    return Picture(
        file=PICTURE,
        title="Who computed which block",
        caption="The answer's blocks, numbered and coloured by worker"
        + ("; those that are wrong are crossed out." if wrong else "."),
        description=f"{len(judged)} blocks of {len(shares)} workers, "
        + (f"{len(wrong)} of them wrong: {', '.join(wrong[:8])}" if wrong else "all of them right"),
        width=WIDTH,
        height=height(judged),
    )


def with_reported(function: WorkerFigures, home: Home) -> WorkerFigures:
    """With the seconds that its activations say they computed and moved blocks: their word, so it is marked so."""
    results = [home.records[one.activation].result for one in home.intervals if one.row == function.label]
    told = {name: [seconds_in(result, name) for result in results] for name in REPORTED}
    known = {name: sum(values) for name, values in told.items() if any(values)}
    return function.model_copy(update={**known, "reported": tuple(known)})


def seconds_in(result: object, name: str) -> float:
    """What a student's process has answered: a number that can be one of seconds, or 0."""
    value = result.get(name) if isinstance(result, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < MOST_SECONDS:
        return 0.0
    return float(value)
