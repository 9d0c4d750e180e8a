"""What a signal to stop does to a process of ours: be an exception, once; be noted; or nothing."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from pipeline.errors import AbortedError

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.01


@contextmanager
def never_swallowed() -> Iterator[None]:
    """An exception by which a signal stops the process is raised again where Python has ignored it.

    A handler may run within a weak reference's callback, a finalizer or a callback of C code; what it raises there is
    only reported (sys.unraisablehook). Needs the main thread; takes SIGALRM and its timer when that happens.
    """
    hook, alarm = sys.unraisablehook, signal.getsignal(signal.SIGALRM)

    def ignored(found: sys.UnraisableHookArgs) -> None:
        stopped = found.exc_value
        if not isinstance(stopped, KeyboardInterrupt | AbortedError):
            hook(found)
            return

        def again(_number: int, _frame: object) -> None:
            raise stopped.with_traceback(None)

        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)

    sys.unraisablehook = ignored
    try:
        yield
    finally:
        sys.unraisablehook = hook
        if signal.getsignal(signal.SIGALRM) is not alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns the first signal to stop into AbortedError, so that a run ends in order; further ones do nothing."""

    def stop(number: int, _frame: object) -> None:
        for each in STOPPING:
            signal.signal(each, ignore)
        raise AbortedError(f"stopped by {signal.Signals(number).name}", hint="`pipeline resume` goes on with it")

    with handling(stop):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals to stop do nothing meanwhile: what runs here is the end already."""
    with handling(ignore):
        yield


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """An event that signals to stop set."""
    stopping = threading.Event()
    asked: SimpleQueue[bool] = SimpleQueue()

    def set_when_asked() -> None:
        if asked.get():
            stopping.set()

    # a handler may interrupt the main thread while that holds the event's lock, and would wait for it for ever
    setter = threading.Thread(target=set_when_asked, name="stop-asked", daemon=True)
    setter.start()
    try:
        with handling(lambda *_: asked.put(True)):
            yield stopping
    finally:
        asked.put(False)
        setter.join()


@contextmanager
def handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Takes signals to stop; not SIGHUP where it is ignored, as under nohup."""
    taken_over = [one for one in STOPPING if one is not signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in taken_over}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def ignore(_number: int, _frame: object) -> None:
    """In place of SIG_IGN, which every program that is started meanwhile would inherit."""
