"""An inference that was stopped goes on: whole phases stay, the one that was cut short is made anew and counts once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipeline.backends.functions import Action, ActionLimits, Activation
from pipeline.backends.servers import Servers
from pipeline.calling import bulk
from pipeline.calling.calls import Calls
from pipeline.calling.remembered import Book
from pipeline.errors import AbortedError, LimitError
from pipeline.jobs.infer import carry_out_left
from pipeline.jobs.infer_phases import plans, remembered
from pipeline.jobs.infer_pictures import SHOWN, Pictures
from pipeline.kinds.infer import InferData, InferJob
from pipeline.listener import Silent
from pipeline.run import Run
from pipeline.settings import Limits

ACTION = Action("a-infer", "image", ActionLimits(128, 30, 10))
PLANNED = plans(InferJob(concurrency=(1, 4), burst=6), InferData(images=5))
HIDDEN = 5 + 6


class Answering:
    """Functions that answer with the picture's number; the process is stopped at its call number `stop_at`."""

    def __init__(self, stop_at: int = 10**6, pause_s: float = 0.0) -> None:
        self.stop_at = stop_at
        self.pause_s = pause_s
        self.asked: list[int] = []

    def functions(self) -> Answering:
        return self

    def call(self, _: str, parameters: Mapping[str, Any]) -> tuple[str, Activation]:
        number = int(parameters["url"])
        self.asked.append(number)
        time.sleep(self.pause_s)
        if len(self.asked) >= self.stop_at:
            raise AbortedError("stopped")
        answer = {"code": 200, "res": number % 10}
        return "f" * 32, Activation("f" * 32, "a", 0.0, 0.1, True, "success", answer, 10, 0.0, None, False)

    @property
    def hidden(self) -> list[int]:
        """Calls with hidden pictures, by their row."""
        return [one - SHOWN for one in self.asked if one >= SHOWN]


def carried_out(folder: Path, functions: Answering, seconds: float = 60.0) -> Book:
    """As a process that has just started: it knows what lies in the run's folder."""
    (folder / "private").mkdir(exist_ok=True)
    book = Book(Run(folder, cast("Any", None)))
    none = np.zeros(0, np.uint8)
    pictures = Pictures(none, none, tuple(str(number) for number in range(SHOWN + HIDDEN)))
    calls = Calls(book, cast("Servers", functions), Limits(seconds=seconds), lambda _: None, Silent())
    carry_out_left(calls, pictures, ACTION, PLANNED)
    return book


# in the warming of the first phase; in its timed calls; in the warming of the second; in its timed calls
@pytest.mark.parametrize("stop_at", [1, 2 + 3, 7 + 3, 7 + 8 + 4])
def test_a_phase_that_is_cut_short_is_made_whole_and_counts_once(
    stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "LOOK_S", 0.001)
    stopped, rest = Answering(stop_at), Answering()
    with pytest.raises(AbortedError):
        carried_out(tmp_path, stopped)
    book = carried_out(tmp_path, rest)
    first = [0, 1, 2, 3, 4]
    assert Counter(rest.hidden) == Counter(range(HIDDEN) if stop_at <= 2 + len(first) else range(len(first), HIDDEN))
    phases = remembered(book.state)
    assert [(one.name, len(one.calls)) for one in phases] == [("1 at once", 5), ("4 at once", 6)]
    assert [call.answer for one in phases for call in one.calls] == [row % 10 for row in range(HIDDEN)]
    assert [len(one.warming) for one in phases] == [2, 8], "no picture waits for a container, however often it stopped"
    again = Answering()
    carried_out(tmp_path, again)
    assert again.asked == []


def test_time_that_is_up_names_the_phase_and_how_far_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "LOOK_S", 0.001)
    with pytest.raises(LimitError, match=r"longer than 0 s: \d of 2 calls of `warming 1` had ended"):
        carried_out(tmp_path, Answering(pause_s=0.1), seconds=0.001)
