"""The grid of an experiment: which settings there are, and in which order they are run."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from pipeline.course import plain_value
from pipeline.errors import Fault, UsageError

Value: TypeAlias = "bool | int | float | str"
Setting: TypeAlias = "dict[str, Value]"
"""One point of the grid: key -> value. Keys are those of the job, and MEMORY."""

MEMORY = "memory_mb"
WORKERS = "workers"
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
COUNTED = re.compile(r"[a-z]+[^s_]s")
MOST_RUNS = 2000


def axes_of(workers: str, memory: str, others: Sequence[str]) -> dict[str, tuple[Value, ...]]:
    """Key -> values, as written on the command line: `1,2,4`, `256,512`, `key=a,b`.

    Raises UsageError that names everything of another form.
    """
    written = [(f"--workers {workers}", WORKERS, workers)] if workers else []
    written += [(f"--memory {memory}", MEMORY, memory)] if memory else []
    written += [(f"--set {text}", *parted(text)) for text in others]
    faults: list[Fault] = []
    axes: dict[str, tuple[Value, ...]] = {}
    for where, key, texts in written:
        values = tuple(plain_value(one.strip()) for one in texts.split(",") if one.strip())
        wrong = fault(key, values) or ("is named twice" if key in axes else "")
        if wrong:
            faults.append(Fault(where, wrong))
        else:
            axes[key] = tuple(dict.fromkeys(values))
    if faults:
        raise UsageError(
            "a grid that cannot be read", faults=faults, hint="such as --workers 1,2,4 --set batch_size=32,64"
        )
    return axes


def parted(text: str) -> tuple[str, str]:
    key, _, values = text.partition("=")
    return key.strip(), values


def fault(key: str, values: Sequence[object]) -> str:
    """What is wrong with one axis, in words; nothing where it is right."""
    if not KEY.fullmatch(key) or not values:
        return "is not KEY=VALUE,VALUE"
    if not all(isinstance(one, bool | int | float | str) for one in values):
        return "has a value that is neither number nor word"
    if key in {WORKERS, MEMORY} and not all(type(one) is int for one in values):
        return "takes whole numbers"
    return ""


def points_of(axes: Mapping[str, Sequence[Value]]) -> list[Setting]:
    """Every combination, the last axis fastest; one empty setting where nothing is varied."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def rounds(settings: Iterable[Setting], repeat: int, seed: int) -> list[tuple[int, Setting]]:
    """(repeat, setting) in the order to run them: all settings once in a random order, then all again in another.

    What slows the machine down for a while so falls on all settings, and what is stopped early has each about as often.
    """
    listed = list(settings)
    if len(listed) * repeat > MOST_RUNS:
        raise UsageError(f"{len(listed)} settings, {repeat} times each, are more than {MOST_RUNS} runs")
    order = random.Random(seed)
    return [(number, setting) for number in range(1, repeat + 1) for setting in order.sample(listed, len(listed))]


def overrides_of(setting: Setting) -> tuple[tuple[str, str], ...]:
    """The setting as `--set` would have it, memory left out."""
    return tuple((key, written(value)) for key, value in setting.items() if key != MEMORY)


def memory_of(setting: Setting) -> int | None:
    value = setting.get(MEMORY)
    return value if isinstance(value, int) else None


def written(value: Value) -> str:
    """A value as it stands on a command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def name_of(key: str) -> str:
    return "memory limit" if key == MEMORY else key.replace("_", " ")


def label_of(key: str) -> str:
    """What a key is called on an axis and above a column, with its unit."""
    return f"{name_of(key)}, MB" if key == MEMORY else name_of(key)


def words_of(setting: Setting, keys: Iterable[str] | None = None) -> str:
    """`4 workers, 256 MB, batch size 64`; only these keys, where they are named."""
    wanted = list(setting) if keys is None else [key for key in keys if key in setting]
    return ", ".join(said(key, setting[key]) for key in wanted) or "as the submission sets it"


def said(key: str, value: Value) -> str:
    """One value of a key: what is counted in words of the plural, such as workers, has its number first."""
    if key == MEMORY:
        return f"{written(value)} MB"
    if type(value) is int and COUNTED.fullmatch(key):
        return f"{value} {key.removesuffix('s') if value == 1 else key}"
    return f"{name_of(key)} {written(value)}"


def folder_of(number: int, setting: Setting) -> str:
    """`07-workers-4-memory-256`: fit for any file system."""
    parts = "-".join(f"{key.removesuffix('_mb')}-{written(value)}" for key, value in setting.items())
    return f"{number:02d}-{re.sub(r'[^A-Za-z0-9.]+', '-', parts)[:60].strip('-.')}".rstrip("-")
