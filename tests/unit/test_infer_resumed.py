"""An inference that was stopped goes on: whole phases stay, the one that was cut short is made anew and counts once."""

from __future__ import annotations

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
from pipeline.errors import AbortedError
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

    def __init__(self, stop_at: int = 10**6) -> None:
        self.stop_at = stop_at
        self.asked: list[int] = []

    def functions(self) -> Answering:
        return self

    def call(self, _: str, parameters: Mapping[str, Any]) -> tuple[str, Activation]:
        number = int(parameters["url"])
        self.asked.append(number)
        if len(self.asked) >= self.stop_at:
            raise AbortedError("stopped")
        answer = {"code": 200, "res": number % 10}
        return "f" * 32, Activation("f" * 32, "a", 0.0, 0.1, True, "success", answer, 10, 0.0, None, False)

    @property
    def hidden(self) -> list[int]:
        """Calls with hidden pictures, by their row."""
        return [one - SHOWN for one in self.asked if one >= SHOWN]


def carried_out(folder: Path, functions: Answering) -> Book:
    """As a process that has just started: it knows what lies in the run's folder."""
    (folder / "private").mkdir(exist_ok=True)
    book = Book(Run(folder, cast("Any", None)))
    none = np.zeros(0, np.uint8)
    pictures = Pictures(none, none, tuple(str(number) for number in range(SHOWN + HIDDEN)))
    calls = Calls(book, cast("Servers", functions), Limits(), lambda _: None, Silent())
    carry_out_left(calls, pictures, ACTION, PLANNED)
    return book


# in the first phase; in the warming of the second; in its timed calls
@pytest.mark.parametrize("stop_at", [3, 8, 5 + 8 + 4])
def test_a_phase_that_is_cut_short_is_made_whole_and_counts_once(
    stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "LOOK_S", 0.001)
    stopped, rest = Answering(stop_at), Answering()
    with pytest.raises(AbortedError):
        carried_out(tmp_path, stopped)
    book = carried_out(tmp_path, rest)
    first = [0, 1, 2, 3, 4]
    assert Counter(rest.hidden) == Counter(range(HIDDEN) if stop_at <= len(first) else range(len(first), HIDDEN))
    phases = remembered(book.state)
    assert [(one.name, len(one.calls)) for one in phases] == [("1 at once", 5), ("4 at once", 6)]
    assert [call.answer for one in phases for call in one.calls] == [row % 10 for row in range(HIDDEN)]
    again = Answering()
    carried_out(tmp_path, again)
    assert again.asked == []
