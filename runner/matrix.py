"""One function of a blocked computation: the student's `worker` gets a task and blocks, and gives one of the answer.

Blocks come from and go to the store by signed URL, each in the safetensors format as the one array `block`. Shortly
before the activation's deadline the function hands back; what it has stored is done.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner import arrays, storage
from runner.deadline import deadline
from runner.errors import FormatError, ParameterError, StudentError
from runner.parameters import Reader
from runner.student import code_folder, load_file, student_code

FILE, FUNCTION, ARRAY = "matrix.py", "worker", "block"
OPERATION = re.compile("multiply|convolve|pool")
MOST_TASKS, MOST_SIDE = 4096, 1 << 16
MARGIN, LEAST_MARGIN_S = 0.1, 1.0
"""The part of an activation's time, and the seconds at least, that are left when it hands back."""

Array = NDArray[np.float32]
Name = tuple[str, int, int]
Work = Callable[[dict[str, Any], "Blocks"], Any]


@dataclass
class Clock:
    """Seconds of this activation: in all, and of it with the store."""

    communication_s: float = 0.0

    def store(self, request: Callable[[], Any]) -> Any:
        begun = time.monotonic()
        try:
            return request()
        finally:
            self.communication_s += time.monotonic() - begun


class Blocks(Mapping[Name, Array]):
    """`blocks["a", 0, 3]`: fetched anew each time, and kept nowhere. Read-only arrays."""

    def __init__(self, urls: Mapping[Name, str], clock: Clock) -> None:
        self.urls = urls
        self.clock = clock

    def __getitem__(self, name: Name) -> Array:
        url = self.urls.get(name)
        if url is None:
            known = ", ".join(map(repr, list(self.urls)[:4]))
            raise KeyError(f"this task has no block {name!r}; it has {known}{', ...' if len(self.urls) > 4 else ''}")
        content = self.clock.store(lambda: storage.get(url, f"block {name}"))
        found, _ = arrays.decode(content, f"block {name}")
        if ARRAY not in found:
            raise FormatError(f"block {name}: there is no array `{ARRAY}` in it")
        return found[ARRAY]

    def __iter__(self) -> Iterator[Name]:
        return iter(self.urls)

    def __len__(self) -> int:
        return len(self.urls)


@dataclass(frozen=True)
class Task:
    """One block of the answer: what the student is told of it, what it reads, where it goes."""

    told: dict[str, Any]
    shape: tuple[int, ...]
    reads: dict[Name, str]
    result_url: str

    @property
    def place(self) -> str:
        return f"block ({self.told['row']}, {self.told['column']})"


def main(params: Mapping[str, Any]) -> dict[str, Any]:
    """Answers how many blocks were computed and how many are left. Raises RunnerError."""
    tasks = parse(params)
    work = load_worker()
    clock, begun = Clock(), time.monotonic()
    leave_at = must_leave_at()
    slowest, count = 0.0, 0
    for task in tasks:
        started = time.monotonic()
        if count and time.time() + slowest > leave_at:
            break
        compute(work, task, clock)
        taken = time.monotonic() - started
        slowest, count = max(slowest, taken), count + 1
        print(f"{task.place}: {taken:.3f} s", flush=True)
    seconds = time.monotonic() - begun
    return {
        "code": 200,
        "blocks": count,
        "left": len(tasks) - count,
        "seconds": seconds,
        "compute_s": max(0.0, seconds - clock.communication_s),
        "communication_s": clock.communication_s,
    }


def must_leave_at() -> float:
    """When no block may still be under way, in seconds since the epoch; infinity by hand."""
    end = deadline()
    return end if math.isinf(end) else end - max(LEAST_MARGIN_S, MARGIN * (end - time.time()))


def compute(work: Work, task: Task, clock: Clock) -> None:
    try:
        with student_code(f"{FILE}, {FUNCTION}"):
            answer = work(dict(task.told), Blocks(task.reads, clock))
        block = checked(answer, task.shape)
    except StudentError as error:
        raise StudentError(f"{task.place}: {error}") from None
    content = arrays.encode({ARRAY: block})
    clock.store(lambda: storage.put(task.result_url, task.place, content))


def checked(answer: Any, shape: tuple[int, ...]) -> Array:
    """The answer, where it is an array as it was asked for. Raises StudentError."""
    asked = f"asked is a NumPy array of float32, shape {list(shape)}"
    if not isinstance(answer, np.ndarray):
        raise StudentError(f"{FILE}: {FUNCTION}() gave {type(answer).__name__}; {asked}")
    if answer.shape != shape or answer.dtype != np.float32:
        raise StudentError(f"{FILE}: {FUNCTION}() gave an array of {answer.dtype}, shape {list(answer.shape)}; {asked}")
    return answer


def load_worker() -> Work:
    """The student's function. Raises StudentError."""
    work = getattr(load_file(code_folder() / FILE), FUNCTION, None)
    if not callable(work):
        raise StudentError(f"{FILE}: there is no function {FUNCTION}(task, blocks)")
    found: Work = work
    return found


def parse(params: Mapping[str, Any]) -> list[Task]:
    """Raises ParameterError, which names every missing and every wrong parameter."""
    read = Reader(params)
    operation = read.text("operation", OPERATION, "`multiply`, `convolve` or `pool`")
    tasks, blocks = params.get("tasks"), params.get("blocks")
    if not isinstance(blocks, dict) or not isinstance(tasks, list) or len(tasks) > MOST_TASKS:
        raise ParameterError(
            f"Wrong parameters: blocks must be URLs by name, and tasks a list of at most {MOST_TASKS} objects"
        )
    urls = Reader(blocks)
    urls.missing, urls.wrong = read.missing, read.wrong
    named = {str(name): urls.url(name) for name in blocks}
    parsed = [task_of(one, operation, named, read) for one in tasks]
    read.finish()
    return parsed


def task_of(value: Any, operation: str, urls: Mapping[str, str], faults: Reader) -> Task:
    read = Reader(value if isinstance(value, dict) else {})
    read.missing, read.wrong = faults.missing, faults.wrong
    told: dict[str, Any] = {"operation": operation}
    told |= {name: read.whole(name, 0, MOST_SIDE) for name in ("row", "column")}
    told |= {name: read.whole(name, 1, MOST_SIDE) for name in ("inner", "pool") if name in read.params}
    shape, reads = read.params.get("shape"), read.params.get("reads")
    if not isinstance(shape, list) or not all(type(one) is int and 0 < one <= MOST_SIDE for one in shape):
        read.wrong.append("shape must be a list of whole numbers")
        shape = []
    if not isinstance(reads, list) or not all(isinstance(one, str) and one in urls for one in reads):
        read.wrong.append("reads must be a list of names out of blocks, such as `a/0/0`")
        reads = []
    own = {name_of(one, read): urls[one] for one in reads}
    return Task(told | {"shape": tuple(shape)}, tuple(shape), own, read.url("result_url"))


def name_of(text: str, faults: Reader) -> Name:
    """`a/0/3` -> ("a", 0, 3)."""
    operand, *at = text.split("/")
    if len(at) != 2 or not all(one.isascii() and one.isdigit() and len(one) < 10 for one in at):
        faults.wrong.append(f"blocks are named such as `a/0/0`, not {text[:40]!r}")
        return operand, 0, 0
    return operand, int(at[0]), int(at[1])
