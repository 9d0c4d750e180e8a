"""Many short calls of one function, some at once: as clients of it call, each waiting for its answer.

`pipeline.calling.calls` remembers every step of each call; here the caller remembers what came of all of them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.backends.functions import Activation, Functions
from pipeline.calling.failures import LOST, Failure, failure
from pipeline.errors import InfrastructureError, ThrottledError

ATTEMPTS = 3
LOOK_S = 0.1
POLL_S = 0.5
SLOWEST_S = 120.0
"""beyond the time that the action has: a start and a queue"""
THROTTLED_FOR_S = 600.0


@dataclass(frozen=True)
class Answered:
    """One call to its end: why it failed, None where it did not; `seconds` as its client waited for it."""

    record: Activation
    failure: Failure | None
    seconds: float


@dataclass(frozen=True)
class Burst:
    """All calls in the order given. `seconds` from the first one's start to the last one's end, but for those in
    which the server took none."""

    answers: tuple[Answered, ...]
    seconds: float


class Bulk:
    """Calls one action. `look` is called now and then in the caller's thread, with how many have ended; it may raise.

    `held` is told of seconds for which the server takes none, before they are waited for.
    """

    def __init__(
        self,
        functions: Functions,
        action: str,
        timeout_s: float,
        look: Callable[[int], None],
        held: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.functions = functions
        self.action = action
        self.timeout_s = timeout_s
        self.look = look
        self.held = held

    def run(self, parameters: Sequence[Mapping[str, Any]], at_once: int) -> Burst:
        """Each of `at_once` clients makes its next call when it has the answer to the one before.

        Raises what a client met, such as InfrastructureError for a call that was lost however often it was made.
        """
        clients = Clients(self, parameters)
        begun = time.monotonic()
        threads = [threading.Thread(target=clients.work, daemon=True) for _ in range(min(at_once, len(parameters)))]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(LOOK_S)
                    self.look(len(clients.answers))
        finally:
            clients.stopped = True
        if clients.error is not None:
            raise clients.error
        answers = tuple(clients.answers[number] for number in range(len(parameters)))
        return Burst(answers, clients.last - begun - clients.held_s)


class Clients:
    """What the threads of one burst share."""

    def __init__(self, bulk: Bulk, parameters: Sequence[Mapping[str, Any]]) -> None:
        self.bulk = bulk
        self.parameters = parameters
        self.numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(parameters)):
            self.numbers.put(number)
        self.answers: dict[int, Answered] = {}
        self.error: BaseException | None = None
        self.stopped = False
        self.last = time.monotonic()
        self.lock = threading.Lock()
        self.held_until = self.held_s = self.held_in_a_row_s = 0.0

    def work(self) -> None:
        try:
            while not self.stopped:
                number = self.numbers.get_nowait()
                self.answers[number] = self.answer(self.parameters[number])
                self.last = time.monotonic()
        except queue.Empty:
            return
        except BaseException as error:
            self.error, self.stopped = error, True

    def answer(self, parameters: Mapping[str, Any]) -> Answered:
        """Made again where a server failed it; a student's failure stands."""
        for attempt in range(ATTEMPTS):
            begun = time.monotonic()
            record = self.ended(parameters)
            why = LOST if record is None else None if record.success else failure(record)
            if record is not None and (why is None or not issubclass(why.error, InfrastructureError)):
                return Answered(record, why, time.monotonic() - begun)
            if attempt == ATTEMPTS - 1 and why is not None:
                raise why.withheld.of(self.bulk.action)
        raise AssertionError("unreachable")

    def ended(self, parameters: Mapping[str, Any]) -> Activation | None:
        """The record of one invocation, None where none came."""
        functions = self.bulk.functions
        activation, record = self.invoked(parameters)
        until = time.monotonic() + self.bulk.timeout_s + SLOWEST_S
        while record is None and time.monotonic() < until and not self.stopped:
            time.sleep(POLL_S)
            record = functions.activation(activation)
        return record

    def invoked(self, parameters: Mapping[str, Any]) -> tuple[str, Activation | None]:
        while True:
            try:
                found = self.bulk.functions.call(self.bulk.action, parameters)
            except ThrottledError as error:
                self.hold(error)
            else:
                self.held_in_a_row_s = 0.0
                return found

    def hold(self, error: ThrottledError) -> None:
        """Waits for as long as the server asks. Raises the error where this has no end, or nobody waits any more."""
        with self.lock:
            now = time.monotonic()
            longer = max(0.0, now + error.wait_s - max(now, self.held_until))
            self.held_until = max(self.held_until, now + error.wait_s)
            self.held_s += longer
            self.held_in_a_row_s += longer
            self.bulk.held(longer)
        if self.held_in_a_row_s > THROTTLED_FOR_S:
            raise error
        while time.monotonic() < self.held_until:
            if self.stopped:
                raise error
            time.sleep(LOOK_S)
