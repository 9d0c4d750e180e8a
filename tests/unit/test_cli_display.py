"""What a person sees of a run: lines in a log without escape codes, live lines on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.cli import display
from pipeline.cli.display import PlainDisplay, showing
from pipeline.listener import Listener
from pipeline.run import StageRecord, Status

HOSTILE = "\x1b]0;owned\x07lost\x1b[2K\rall \u202efine"


def tell(listener: Listener) -> None:
    listener.stage_started("check")
    listener.note("check", f"numpy is {HOSTILE}")
    listener.stage_ended(StageRecord(name="check", status=Status.DONE, seconds=1.23))
    listener.stage_started("execute")
    listener.progress("worker 0", 420, 860, 0.2134, 1932.4, "running")
    listener.progress("worker 1", 0, 0, None, None, "queued: the pool is full")
    listener.stage_ended(StageRecord(name="execute", status=Status.FAILED, seconds=60, reason=HOSTILE))
    listener.stage_ended(StageRecord(name="collect", status=Status.SKIPPED, reason="not reached"))


def test_a_log_gets_plain_lines() -> None:
    stream = io.StringIO()
    with showing(Console(file=stream, force_terminal=False, width=200)) as listener:
        tell(listener)
    assert stream.getvalue().splitlines() == [
        "check     running",
        "check       numpy is lost all fine",
        "check     done         1.2 s",
        "execute   running",
        "            worker 0  420/860  loss 0.213  1,932 samples/s  running",
        "            worker 1  0 steps  queued: the pool is full",
        "execute   failed      60.0 s  lost all fine",
        "collect   skipped      0.0 s  not reached",
    ]


def test_a_log_hears_of_a_worker_when_its_state_changes_or_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    stream = io.StringIO()
    plain = PlainDisplay(Console(file=stream, width=200))
    for step in range(100):
        plain.progress("worker 0", step, 100, None, None, "running")
    plain.progress("worker 0", 100, 100, None, None, "finished")
    now += display.PLAIN_INTERVAL_S
    plain.progress("worker 0", 100, 100, None, None, "finished")
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["0/100", "100/100", "100/100"]


def test_a_terminal_keeps_a_line_for_each_stage_and_shows_the_workers() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, _environ={"TERM": "xterm-256color"})
    with showing(console) as listener:
        tell(listener)
        listener.stage_started("collect")
        listener.progress("worker 0", 420, 860, 0.2134, 1932.4, "running")
        with console.capture() as drawn:
            console.print(listener.render())  # type: ignore[attr-defined]
    assert "420/860  loss 0.213  1,932 samples/s" in drawn.get()
    shown = stream.getvalue()
    assert "execute" in shown and "lost all fine" in shown
    assert "\x1b]0;" not in shown and "\u202e" not in shown


def test_verbose_keeps_notes_on_the_terminal() -> None:
    shown = {}
    for verbose in (False, True):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=True, width=120, _environ={"TERM": "xterm-256color"})
        with showing(console, verbose=verbose) as listener:
            listener.stage_started("check")
            for number in range(5):
                listener.note("check", f"note {number}")
            listener.stage_ended(StageRecord(name="check", status=Status.DONE))
        shown[verbose] = stream.getvalue()
    assert "note 0" in shown[True]
    assert "note 0" not in shown[False]


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    with showing(Console(file=stream, force_terminal=True, width=100)) as listener:
        listener.stage_ended(StageRecord(name="check", status=Status.FAILED, reason="red"))
    assert "\x1b[1;31m" not in stream.getvalue() and "\x1b[31m" not in stream.getvalue()
    assert "red" in stream.getvalue()


@pytest.mark.parametrize("total", [0, 10])
def test_progress_without_figures_is_still_words(total: int) -> None:
    words = display.Progress(3, total, None, None, "running").words()
    assert words.startswith("3 steps" if total == 0 else "3/10")
    assert "None" not in words
