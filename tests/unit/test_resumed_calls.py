"""Calls of a run that was killed: what ended well counts, what was lost never was, and a pause is no time of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from support.scripted_calls import FakeRun, Script, cancelled, died, lost, record

from pipeline.backends.functions import Activation
from pipeline.backends.servers import Servers
from pipeline.calling import calls
from pipeline.calling.calls import Call, Calls, Ended
from pipeline.calling.remembered import Book, CallState
from pipeline.calling.resuming import take_up
from pipeline.listener import Silent
from pipeline.run import Run
from pipeline.settings import Limits


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds since the epoch; they stand still until a test sets them."""
    now = [95.0]
    monkeypatch.setattr(calls, "SLOWEST_POLL_S", 0.001)
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def killed(clock: list[float], folder: Path, *activations: str) -> Book:
    """At 100 s, after 5 s of work, while the call `a` had had these activations."""
    book = Book(cast("Run", FakeRun(folder)))
    book.goes_on()
    clock[0] = 100.0
    running = CallState(name="a", action="f", activations=activations, attempts=activations, state="started")
    book.update_call(running, 5.0)
    clock[0] = 160.0
    return Book(book.run)


def taken_up(book: Book, script: Script, *, parts_count: bool = False) -> list[str]:
    return take_up(book, cast("Servers", script), parts_count=parts_count)


def went_on(book: Book, script: Script) -> Ended:
    wanted = Call("a", "f", lambda: {"name": "a"})
    return Calls(book, cast("Servers", script), Limits(), lambda _: None, Silent()).run([wanted])["a"]


def test_what_ended_well_while_nobody_looked_is_not_made_again(clock: list[float], tmp_path: Path) -> None:
    script = Script({}, records={"a-1": record(end=103.0), "a-2": lost(end=110.0)})
    book = killed(clock, tmp_path, "a-1", "a-2")

    assert taken_up(book, script) == []

    ended = went_on(book, script)
    assert ended.answer() == {"answer": 42} and ended.attempt == "a-1"
    assert script.invoked == [] and script.cancelled == 1
    assert book.state.seconds == pytest.approx(8.0, abs=0.5), "it ran three seconds longer"
    assert (book.state.lost_s, book.state.working_s(95.0, 170.0)) == (0.0, 8.0 + 10.0)


@pytest.mark.parametrize("left", [lost(), died(), None], ids=["ended with the stop", "died", "no record"])
def test_what_was_lost_with_the_stop_is_no_attempt(left: Activation | None, clock: list[float], tmp_path: Path) -> None:
    script = Script({"a": [died(), died(), record()]}, records={"a-1": left, "a-2": left, "a-3": left})
    book = killed(clock, tmp_path, "a-1", "a-2", "a-3")

    assert taken_up(book, script) == ["a"]

    assert went_on(book, script).failure is None, "three attempts are there once more"
    state = book.state.calls["a"]
    assert (len(state.activations), state.stopped) == (3, ("a-1", "a-2", "a-3"))


def test_a_pause_is_no_time_of_the_job(clock: list[float], tmp_path: Path) -> None:
    book, script = killed(clock, tmp_path, "a-1"), Script({"a": [record()]}, records={"a-1": lost(end=160.0)})
    taken_up(book, script)
    went_on(book, script)
    assert book.state.seconds == pytest.approx(5.0, abs=0.5), "which the assignment's limit is on"
    assert book.state.lost_s == 5.0
    assert book.state.working_s(90.0, 170.0) == 15.0
    assert book.state.working_s(130.0, 170.0) == 10.0
    assert book.state.working_s(50.0, 70.0) == 20.0


@pytest.mark.parametrize(
    ("left", "ran_on_s"),
    [(cancelled(end=130.0), 30.0), (lost(end=130.0), 0.0)],
    ids=["ended by us", "lost with its server, and the record was made at the next start"],
)
def test_what_a_function_did_until_it_was_ended_takes_its_time_where_it_counts(
    left: Activation, ran_on_s: float, clock: list[float], tmp_path: Path
) -> None:
    book, script = killed(clock, tmp_path, "a-1"), Script({"a": [record()]}, records={"a-1": left})
    assert taken_up(book, script, parts_count=True) == ["a"]
    went_on(book, script)
    assert book.state.seconds == pytest.approx(5.0 + ran_on_s, abs=0.5)
    assert book.state.lost_s == 0.0
    assert book.state.working_s(100.0, 170.0) == 10.0 + ran_on_s


def test_killed_before_it_goes_on_the_pause_is_still_one(clock: list[float], tmp_path: Path) -> None:
    book, script = killed(clock, tmp_path, "a-1"), Script({"a": [record()]}, records={"a-1": None})
    clock[0] = 130.0
    taken_up(book, script)
    again = Book(book.run)
    clock[0] = 160.0
    assert taken_up(again, script) == []
    went_on(again, script)
    assert again.state.working_s(100.0, 170.0) == 10.0
    assert again.state.calls["a"].stopped == ("a-1",)
