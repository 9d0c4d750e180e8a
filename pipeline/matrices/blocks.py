"""How an operation is cut: one task for each block of the answer, the blocks of operands that it reads, and shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from pipeline.errors import SubmissionError
from pipeline.kinds.matrix import MatrixData
from pipeline.matrices.operands import Span

MOST_TASKS = 4096
MOST_OBJECTS = 1000
"""That one activation is told of: their signed URLs must stay well below the 1 MB that parameters may have."""
BYTES = 4
"""of a float32"""


@dataclass(frozen=True)
class Block:
    """A block of an operand as it lies in the store; that of an image has with it what lies around, where needed."""

    operand: str
    row: int
    column: int
    rows: Span
    columns: Span

    @property
    def name(self) -> str:
        return f"{self.operand}/{self.row}/{self.column}"

    @property
    def bytes(self) -> int:
        return self.rows.size * self.columns.size * BYTES


@dataclass(frozen=True)
class Task:
    """One block of the answer, at `row`, `column` of its grid, and all blocks that it needs."""

    row: int
    column: int
    rows: Span
    columns: Span
    reads: tuple[Block, ...]

    @property
    def name(self) -> str:
        return f"{self.row}-{self.column}"

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.size, self.columns.size

    @property
    def bytes(self) -> int:
        return self.rows.size * self.columns.size * BYTES

    def told(self, data: MatrixData) -> dict[str, Any]:
        """What the student's function is told of it."""
        own: dict[str, Any] = {"row": self.row, "column": self.column, "shape": list(self.shape)}
        if data.operation == "multiply":
            return own | {"inner": len(self.reads) // 2}
        return own | {"pool": data.pooled}


def cut(length: int, size: int) -> list[Span]:
    """Spans of `size`, the last one of what is left."""
    return [Span(start, min(start + size, length)) for start in range(0, length, size)]


@lru_cache(maxsize=2)
def tasks_of(data: MatrixData, block_size: int) -> tuple[Task, ...]:
    """Every block of the answer exactly once, row by row. Raises SubmissionError where these are too many."""
    rows, columns = (cut(length, block_size) for length in data.answer)
    refuse_small(data, block_size, len(rows) * len(columns))
    if data.operation == "multiply":
        inner = cut(data.summed, block_size)
        left = {(i, k): Block("a", i, k, down, across) for i, k, down, across in grid(rows, inner)}
        right = {(k, j): Block("b", k, j, down, across) for k, j, down, across in grid(inner, columns)}
        summands = range(len(inner))
        return tuple(
            Task(i, j, down, across, (*(left[i, k] for k in summands), *(right[k, j] for k in summands)))
            for i, j, down, across in grid(rows, columns)
        )
    kernel = (Block("kernel", 0, 0, Span(0, data.kernel), Span(0, data.kernel)),) if data.kernel else ()
    return tuple(
        Task(i, j, down, across, (Block("image", i, j, needed(data, down), needed(data, across)), *kernel))
        for i, j, down, across in grid(rows, columns)
    )


def grid(rows: Sequence[Span], columns: Sequence[Span]) -> Iterable[tuple[int, int, Span, Span]]:
    return ((i, j, down, across) for i, down in enumerate(rows) for j, across in enumerate(columns))


def needed(data: MatrixData, span: Span) -> Span:
    """The rows or columns of an image from which those of the answer come: more by what lies around."""
    return Span(span.start * data.pooled, span.stop * data.pooled + data.around)


def refuse_small(data: MatrixData, block_size: int, tasks: int) -> None:
    objects = 2 * len(cut(data.summed, block_size)) + 1 if data.operation == "multiply" else 3
    if tasks > MOST_TASKS or objects > MOST_OBJECTS:
        raise SubmissionError(
            f"block_size {block_size} cuts {data.in_words()} into {tasks:,} blocks that read {objects - 1:,} each; "
            f"at most {MOST_TASKS:,} and {MOST_OBJECTS - 1} can be",
            hint="choose a larger block_size",
        )


def shares(tasks: Sequence[Task], workers: int) -> tuple[tuple[Task, ...], ...]:
    """Runs of neighbouring tasks, one for each worker, which differ by one at the most; none is empty."""
    count = min(workers, len(tasks))
    ends = [len(tasks) * number // count for number in range(count + 1)]
    return tuple(tuple(tasks[start:stop]) for start, stop in pairwise(ends))


def at_once(tasks: Sequence[Task], most: int = MOST_OBJECTS) -> tuple[Task, ...]:
    """As many of the first tasks, one at least, as one activation can be told of."""
    objects: set[str] = set()
    for number, task in enumerate(tasks):
        objects |= {task.name, *(one.name for one in task.reads)}
        if len(objects) > most:
            return tuple(tasks[: max(1, number)])
    return tuple(tasks)


def distinct(tasks: Iterable[Task]) -> tuple[Block, ...]:
    """Each block that these read, once."""
    return tuple(dict.fromkeys(block for task in tasks for block in task.reads))
