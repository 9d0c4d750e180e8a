"""Invokes functions and follows them until each has ended; goes on after a kill with those that had not.

A call that fails for a reason which may pass is made again, as often as it allows. What a failure means for the run is
for the kind of job to say, a lost server apart: that is infrastructure's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.backends.functions import Activation
from pipeline.backends.servers import Servers
from pipeline.calling.failures import LOST, Failure, failure
from pipeline.calling.remembered import Book, CallState
from pipeline.errors import InfrastructureError, LimitError, ThrottledError
from pipeline.listener import Listener, StageLog
from pipeline.settings import Limits
from pipeline.text import one_line

POLL_S = 0.05
SLOWEST_POLL_S = 0.3
LOST_AFTER_S = 60.0
THROTTLED_FOR_S = 600.0
KEEP_TIME_S = 2.0


@dataclass(frozen=True)
class Call:
    """One function to be invoked. `parameters` are asked for at each attempt, so that URLs in them are fresh.

    `group` is what its progress is shown as, `attempts` how often it may fail before its failure stands; what cannot
    go better another time stands at once.
    """

    name: str
    action: str
    parameters: Callable[[], Mapping[str, Any]]
    group: str = "functions"
    hidden: bool = False
    attempts: int = 3


@dataclass(frozen=True)
class Ended:
    """The end of a call: its last activation's record, and why that failed, None where it succeeded."""

    call: Call
    record: Activation | None
    failure: Failure | None

    @property
    def result(self) -> Any:
        return self.record.result if self.record and self.failure is None else None

    def answer(self) -> dict[str, Any]:
        """The result object. Raises the failure, and SubmissionError for a result that is no object."""
        if self.failure is None and not isinstance(self.result, dict):
            raise Failure("it answered no object", hint="return a dict").of(self.call.name)
        if self.failure is not None:
            raise self.failure.of(self.call.name)
        answered: dict[str, Any] = self.result
        return answered


class Calls:
    """Makes the calls of one run within the time that its execute stage has, several `run`s one after another."""

    def __init__(self, book: Book, servers: Servers, limits: Limits, log: StageLog, listener: Listener) -> None:
        self.book = book
        self.servers = servers
        self.functions = servers.functions()
        self.limits = limits
        self.log = log
        self.listener = listener
        self.begun = time.monotonic() - book.state.seconds
        self.not_before = 0.0
        self.throttled_since: float | None = None
        self.polls = 0
        self.running: set[str] = set()

    def run(self, calls: Iterable[Call], at_once: int = 64) -> dict[str, Ended]:
        """Returns when each call has ended; by name, in the order given. Calls that had ended before a kill are not
        made again.

        Raises InfrastructureError where one was lost however often it was made, LimitError where the time is up.
        """
        wanted = {one.name: one for one in calls}
        ended: dict[str, Ended] = {}
        self.running.clear()
        self.polls = 0
        while len(ended) < len(wanted):
            for name, call in wanted.items():
                if name in ended or (name not in self.running and len(self.running) >= at_once):
                    continue
                found = self.follow(call)
                if found is not None:
                    ended[name] = found
                    self.running.discard(name)
                    self.polls = 0
            self.show(wanted.values(), ended)
            self.check_time()
            if len(ended) < len(wanted):
                self.pause()
        return {name: ended[name] for name in wanted}

    def pause(self) -> None:
        """Short at first, so that a call of milliseconds does not wait for its end to be seen."""
        self.polls += 1
        time.sleep(min(SLOWEST_POLL_S, POLL_S * 1.2**self.polls))

    def follow(self, call: Call) -> Ended | None:
        """One look at one call; its end, where it has come."""
        state = self.state(call)
        if state.ended:
            return self.end_of(call, state, self.functions.activation(state.activations[-1]))
        if call.name not in self.running:
            if time.monotonic() >= self.not_before:
                self.invoke(call, state)
            return None
        record = self.functions.activation(state.activations[-1])
        if record is None:
            return self.missing(call, state)
        if record.success:
            return self.close(call, state, record)
        return self.failed(call, state, record, failure(record))

    def state(self, call: Call) -> CallState:
        fresh = CallState(name=call.name, action=call.action, hidden=call.hidden)
        return self.book.state.calls.get(call.name, fresh)

    def invoke(self, call: Call, state: CallState) -> None:
        try:
            activation = self.functions.invoke(call.action, call.parameters())
        except ThrottledError as error:
            self.hold(error)
            return
        self.throttled_since = None
        made = {"activations": (*state.activations, activation), "invoked_at": time.time(), "state": "started"}
        self.book.update_call(state.model_copy(update=made))
        self.running.add(call.name)

    def hold(self, error: ThrottledError) -> None:
        """Nothing is invoked for as long as the server asks. Raises the error where this has no end."""
        now = time.monotonic()
        self.throttled_since = self.throttled_since or now
        if now - self.throttled_since > THROTTLED_FOR_S:
            raise error
        self.not_before = now + error.wait_s

    def missing(self, call: Call, state: CallState) -> Ended | None:
        """No record yet: it runs, it is queued, or it was lost."""
        pool = self.servers.pool()
        queued = {one.activation: one.reason for one in pool.queue} if pool else {}
        reason = queued.get(state.activations[-1], "")
        if reason and not state.state.startswith("queued"):
            self.book.update_call(state.model_copy(update={"state": f"queued: {reason}"}))
            self.log(f"{call.name} queued: {reason}")
            self.book.note(f"{call.name} queued: {reason}")
        if pool is not None and not reason and self.overdue(state):
            return self.failed(call, state, None, LOST)
        return None

    def overdue(self, state: CallState) -> bool:
        """Whether it has taken longer than any activation may: it is in a queue that nobody sees, or lost."""
        return time.time() - state.invoked_at > self.limits.start_s + self.limits.timeout_s + LOST_AFTER_S

    def failed(self, call: Call, state: CallState, record: Activation | None, why: Failure) -> Ended | None:
        """Made again where that may help. Raises InfrastructureError where a server failed it each time."""
        reason = "failed" if call.hidden else one_line(why.reason)
        self.log(f"{call.name}: {reason} (activation {state.activations[-1]})")
        if why.again and len(state.activations) < call.attempts:
            self.running.discard(call.name)
            return None
        if issubclass(why.error, InfrastructureError):
            raise why.of(call.name)
        return self.close(call, state, record)

    def close(self, call: Call, state: CallState, record: Activation | None) -> Ended:
        state = state.model_copy(update={"ended": True, "state": ""})
        self.book.update_call(state)
        return self.end_of(call, state, record)

    def end_of(self, call: Call, state: CallState, record: Activation | None) -> Ended:
        if record is None:
            raise LOST.of(state.name)
        return Ended(call, record, None if record.success else failure(record))

    def show(self, calls: Iterable[Call], ended: Mapping[str, Ended]) -> None:
        groups: dict[str, list[bool]] = {}
        for call in calls:
            groups.setdefault(call.group, []).append(call.name in ended)
        for group, done in groups.items():
            self.listener.progress(group, sum(done), len(done), None, None, "done" if all(done) else "running")

    def check_time(self) -> None:
        used = time.monotonic() - self.begun
        if used > self.book.state.seconds + KEEP_TIME_S:  # a resumed run goes on counting from here
            self.book.update(seconds=used)
        if used > self.limits.seconds:
            waiting = [self.book.state.calls[one] for one in self.running]
            queued = next((one for one in waiting if one.state.startswith("queued") or self.overdue(one)), None)
            if queued is not None:
                raise InfrastructureError(
                    f"the job took longer than {self.limits.seconds:.0f} s, and {queued.name} was {queued.state}",
                    hint="a larger pool, or an assignment with fewer functions at a time",
                )
            raise LimitError(
                f"the job took longer than {self.limits.seconds:.0f} s", hint="do less work, or look for endless loops"
            )

    def excuse(self, seconds: float) -> None:
        """Takes seconds off that were not the submission's, such as those for which the server took no call."""
        self.begun += seconds

    def finished(self) -> float:
        """Seconds that the job has taken, which are remembered."""
        self.book.update(seconds=time.monotonic() - self.begun)
        return self.book.state.seconds
