"""Calls: each function is invoked until it has ended, what may pass is tried again, and nothing ended is made twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.scripted_calls import FakeRun, Script, crashed, died, lost, record

from pipeline.backends.functions import Activation
from pipeline.calling import calls
from pipeline.calling.backups import Backups
from pipeline.calling.calls import Call, Calls
from pipeline.calling.remembered import Book
from pipeline.calling.resuming import take_up
from pipeline.embedded.contract import QueueEntry
from pipeline.errors import InfrastructureError, LimitError, SubmissionError, ThrottledError
from pipeline.listener import Silent
from pipeline.settings import Limits


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(FakeRun(tmp_path))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SLOWEST_POLL_S", 0.001)


def made(book: Book, script: Script, names: list[str], *, at_once: int = 64, **limits: float) -> dict[str, calls.Ended]:
    wanted = [Call(name, "f", lambda name=name: {"name": name}) for name in names]  # type: ignore[misc]
    settings = Limits.model_validate(limits)
    return Calls(book, script, settings, lambda _: None, Silent()).run(wanted, at_once)  # type: ignore[arg-type]


def test_all_are_invoked_and_answer_in_the_order_given(book: Book) -> None:
    script = Script({name: [record()] for name in "abc"})
    ended = made(book, script, ["a", "b", "c"])
    assert list(ended) == ["a", "b", "c"]
    assert [one.answer() for one in ended.values()] == [{"answer": 42}] * 3


def test_no_more_run_at_a_time_than_are_allowed(book: Book) -> None:
    script = Script({name: [record()] for name in "abcdef"})
    running: list[int] = []
    invoke = script.invoke

    def counted(action: str, parameters: Mapping[str, Any]) -> str:
        running.append(sum(not state.ended for state in book.state.calls.values()) + 1)
        return invoke(action, parameters)

    script.invoke = counted  # type: ignore[method-assign]
    made(book, script, list("abcdef"), at_once=2)
    assert max(running) == 2


def test_what_the_student_s_code_raised_is_not_tried_again(book: Book) -> None:
    script = Script({"a": [crashed()]})
    ended = made(book, script, ["a"])["a"]
    assert script.invoked == ["a"]
    with pytest.raises(SubmissionError, match=r"a: main.py, line 3: ValueError: no"):
        ended.answer()


def test_a_container_that_died_is_tried_again_and_that_stands_after_three(book: Book) -> None:
    assert made(book, Script({"a": [died(), died(), record()]}), ["a"])["a"].failure is None
    script = Script({"b": [died()] * 4})
    with pytest.raises(SubmissionError, match="b: it ended"):
        made(book, script, ["b"])["b"].answer()
    assert script.invoked == ["b"] * 3


def test_a_server_s_failure_is_never_the_student_s(book: Book) -> None:
    with pytest.raises(InfrastructureError, match="a: the server failed"):
        made(book, Script({"a": [lost()] * 3}), ["a"])


def test_what_a_student_s_own_function_says_of_servers_is_not_believed(book: Book) -> None:
    script = Script({"a": [crashed("infrastructure: the store did not answer")]})
    own = Call("a", "f", lambda: {"name": "a"}, runner=False)
    ended = Calls(book, script, Limits(), lambda _: None, Silent()).run([own])["a"]  # type: ignore[arg-type]
    with pytest.raises(SubmissionError, match="infrastructure: the store"):
        ended.answer()
    assert script.invoked == ["a"]


@pytest.mark.parametrize("said", ["infrastructure: 4711", "The action did not initialize: 4711"])
def test_of_a_hidden_call_nothing_that_it_says_comes_out_with_the_error(book: Book, said: str) -> None:
    failed = record(success=False, status="action developer error", error=said)
    script = Script({"a": [failed] * 3})
    hidden = Call("a", "f", lambda: {"name": "a"}, hidden=True)
    lines: list[str] = []
    try:
        ended = Calls(book, script, Limits(), lines.append, Silent()).run([hidden])["a"]  # type: ignore[arg-type]
    except InfrastructureError as error:
        lines.append(str(error))
    else:
        assert ended.failure is not None
        lines.append(ended.failure.withheld.reason)
    assert lines
    assert "4711" not in " ".join(lines)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("The action exhausted its memory and was aborted.", "more memory"),
        ("The action exceeded its time limits of 100 milliseconds.", "time limit"),
        ("too many processes", "too many processes"),
    ],
)
def test_a_limit_stands_at_once_and_is_named(book: Book, said: str, words: str) -> None:
    script = Script({"a": [record(success=False, status="action developer error", error=said)]})
    with pytest.raises(LimitError, match=words):
        made(book, script, ["a"])["a"].answer()


def test_a_throttled_call_waits_as_long_as_the_server_asks(book: Book) -> None:
    script = Script({"a": [ThrottledError("too many", wait_s=0.01), record()]})
    assert made(book, script, ["a"])["a"].failure is None
    assert script.invoked == ["a"]


def test_what_a_server_has_a_run_wait_for_is_no_time_of_the_students(book: Book) -> None:
    script = Script({"a": [*(ThrottledError("too many", wait_s=0.4) for _ in range(4)), record()]})
    assert made(book, script, ["a"], seconds=1)["a"].failure is None
    assert book.state.seconds < 1


def test_what_had_ended_before_a_kill_is_not_made_again_and_what_ran_is(book: Book) -> None:
    script = Script({"a": [record()], "b": [None, record()]})
    with pytest.raises(LimitError):
        made(book, script, ["a", "b"], seconds=1)
    book.update(seconds=0.0)
    again = Book(book.run)
    assert again.state == book.state
    ended = made(again, script, ["a", "b"])
    assert script.invoked == ["a", "b", "b"]
    assert ended["a"].answer() == ended["b"].answer() == {"answer": 42}


def test_time_that_ran_out_in_the_queue_is_not_the_student_s(book: Book) -> None:
    script = Script({"a": [None]})
    script.queue = [
        QueueEntry(activation="a-1", namespace="g", action="f", memory_mb=1, waiting_s=1, position=1, reason="full")
    ]
    with pytest.raises(InfrastructureError, match="a was queued: full"):
        made(book, script, ["a"], seconds=1)
    assert book.state.notes == ("a queued: full",)
    resumed = Book(book.run)
    take_up(resumed, script)  # type: ignore[arg-type]
    script.plan, script.queue = {"a": [record()]}, []
    assert made(resumed, script, ["a"], seconds=1)["a"].failure is None, "with room there is time enough"


def test_a_call_whose_record_never_comes_is_made_again(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "LOST_AFTER_S", -1.9)
    script = Script({"a": [None, record()]})
    assert made(book, script, ["a"], start_s=1, timeout_s=1)["a"].failure is None
    assert script.invoked == ["a", "a"]


def test_an_answer_that_is_no_object_is_refused(book: Book) -> None:
    bare = Activation("a" * 32, "f", 0.0, 1.0, True, "success", [1], 10, 0.0, None, False)
    with pytest.raises(SubmissionError, match="answered no object"):
        made(book, Script({"a": [bare]}), ["a"])["a"].answer()


def backed_up(book: Book, script: Script, names: list[str], **rule: float) -> dict[str, calls.Ended]:
    def parameters(name: str) -> Any:
        return lambda attempt: {"name": name, "attempt": attempt}

    wanted = [Call(name, "f", for_attempt=parameters(name)) for name in names]
    one = Calls(book, script, Limits(), lambda _: None, Silent())  # type: ignore[arg-type]
    return one.run(wanted, backups=Backups(**rule))


def test_a_straggler_has_a_backup_and_the_first_to_end_counts(book: Book) -> None:
    script = Script({"a": [record()], "b": [record()], "c": [None, record()]})
    ended = backed_up(book, script, ["a", "b", "c"], least_s=0.05)
    assert script.invoked == ["a", "b", "c", "c"]
    state = book.state.calls["c"]
    assert (state.activations, state.backups, state.ended) == (("c-3", "c-4"), 1, True)
    assert ended["c"].attempt == state.attempts[-1]
    assert ended["c"].attempt != state.attempts[0]
    assert script.cancelled == 1, "the one that does not count is ended"


def test_a_straggler_that_ends_before_its_backup_counts(book: Book) -> None:
    script = Script({"a": [record()], "b": [None, None]})
    invoke = script.invoke

    def second_frees_first(action: str, parameters: Mapping[str, Any]) -> str:
        activation = invoke(action, parameters)
        if activation == "b-3":
            script.records["b-2"] = record()
        return activation

    script.invoke = second_frees_first  # type: ignore[method-assign]
    backed_up(book, script, ["a", "b"], least_s=0.05)
    assert book.state.calls["b"].activations == ("b-3", "b-2")


def test_a_backup_goes_on_where_the_straggler_dies(book: Book) -> None:
    script = Script({"a": [record()], "b": [None, None]})
    invoke = script.invoke

    def second_outlives_first(action: str, parameters: Mapping[str, Any]) -> str:
        activation = invoke(action, parameters)
        if activation == "b-3":
            script.records |= {"b-2": died(), "b-3": record()}
        return activation

    script.invoke = second_outlives_first  # type: ignore[method-assign]
    assert backed_up(book, script, ["a", "b"], least_s=0.05)["b"].failure is None
    assert len(script.invoked) == 3


def test_nobody_is_late_before_half_have_ended(book: Book) -> None:
    script = Script({"a": [record()], "b": [None], "c": [None]})
    with pytest.raises(LimitError):
        one = Calls(book, script, Limits(seconds=0.5), lambda _: None, Silent())  # type: ignore[arg-type]
        wanted = [Call(name, "f", lambda name=name: {"name": name}) for name in "abc"]  # type: ignore[misc]
        one.run(wanted, backups=Backups(least_s=0.01))
    assert script.invoked == ["a", "b", "c"]


def test_a_failure_that_stands_ends_the_others_where_all_are_needed(book: Book) -> None:
    script = Script({"a": [None], "b": [crashed()]})
    one = Calls(book, script, Limits(), lambda _: None, Silent())  # type: ignore[arg-type]
    wanted = [Call(name, "f", lambda name=name: {"name": name}) for name in "ab"]  # type: ignore[misc]
    assert list(one.run(wanted, until_failure=True)) == ["b"]
    assert script.cancelled == 1
