"""Ctrl-C at its worst moments: it stops what runs, in order, and shows no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import AbortedError
from pipeline.signals import interruptible, never_swallowed, stop_asked

ROOT = Path(__file__).parents[2]
INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "pipeline.cli.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
signal.signal(signal.SIGINT, signal.{handler})
sys.argv = ["pipeline", "--version"]
from pipeline.__main__ import main
main()
"""


class Referred:
    """What a weak reference can be made to."""


def stop_in_a_callback(number: int) -> None:
    """What is raised there, Python only reports."""
    referred = Referred()
    kept = weakref.ref(referred, lambda _: os.kill(os.getpid(), number))
    del referred
    assert kept() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stops_although_the_signal_came_in_a_callback(number: signal.Signals) -> None:
    with pytest.raises(AbortedError, match=number.name), never_swallowed(), interruptible():
        stop_in_a_callback(number)
        time.sleep(60)


@pytest.fixture
def usual_ctrl_c() -> Iterator[None]:
    """As in a terminal: a shell's background job begins with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_a_command_stops_although_ctrl_c_came_in_a_callback() -> None:
    with pytest.raises(KeyboardInterrupt), never_swallowed():
        stop_in_a_callback(signal.SIGINT)
        time.sleep(60)


def test_what_was_swallowed_at_the_very_end_disturbs_nobody_after_it() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with never_swallowed(), interruptible():
        stop_in_a_callback(signal.SIGTERM)
    time.sleep(0.1)
    assert signal.getsignal(signal.SIGALRM) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_server_is_told_to_stop_also_while_it_looks_whether_it_was(number: signal.Signals) -> None:
    with stop_asked() as stopping:
        assert not stopping.is_set()
        with vars(stopping)["_cond"]:
            os.kill(os.getpid(), number)
        assert stopping.wait(60)


@pytest.mark.parametrize(
    ("handler", "code", "said"), [("default_int_handler", -signal.SIGINT, ""), ("SIG_IGN", 0, "pipeline ")]
)
def test_ctrl_c_while_the_program_is_imported(handler: str, code: int, said: str) -> None:
    """It ends the process without a word, but not one for which a shell has Ctrl-C ignored."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT.format(handler=handler)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout[: len("pipeline ")], done.stderr) == (code, said, "")
