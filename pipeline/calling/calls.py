"""Invokes functions and follows them until each has ended; goes on after a kill with those that had not.

A call that fails for a reason which may pass is made again, as often as it allows, and with `Backups` one that takes
much longer than the others is made a second time beside the first. What a failure means for the run is for the kind of
job to say, a lost server apart: that is infrastructure's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.backends.functions import Activation
from pipeline.backends.servers import Servers
from pipeline.calling.backups import Backups, Stragglers
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

    `for_attempt` instead of them gets the attempt's name: attempts that may run at once must not write the same
    objects, and `Ended.attempt` says whose objects count. `group` is what its progress is shown as, `attempts` how
    often it may fail before its failure stands; what cannot go better another time stands at once. Without `runner`
    the answer is that of the student's own function, whose word about servers is not taken.
    """

    name: str
    action: str
    parameters: Callable[[], Mapping[str, Any]] = dict
    group: str = "functions"
    hidden: bool = False
    attempts: int = 3
    runner: bool = True
    for_attempt: Callable[[str], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Ended:
    """The end of a call: the record of the activation that counts, and why that failed, None where it succeeded."""

    call: Call
    record: Activation | None
    failure: Failure | None
    attempt: str = ""

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
        book.goes_on()
        self.begun = time.monotonic() - book.state.seconds
        self.not_before = 0.0
        self.throttled_since: float | None = None
        self.polls = 0
        self.running: dict[str, list[str]] = {}
        self.stragglers = Stragglers(None, 0)

    def run(
        self,
        calls: Iterable[Call],
        at_once: int = 64,
        *,
        backups: Backups | None = None,
        until_failure: bool = False,
    ) -> dict[str, Ended]:
        """Returns when each call has ended, or with `until_failure` when a failure stands; by name, in the order given.
        Calls that had ended before a kill are not made again. What still runs then is ended, where the server can.

        Raises InfrastructureError where one was lost however often it was made, LimitError where the time is up.
        """
        wanted = {one.name: one for one in calls}
        ended: dict[str, Ended] = {}
        left: list[str] = []
        self.running.clear()
        self.stragglers = Stragglers(backups, len(wanted))
        self.polls = 0
        over = not wanted
        while not over:
            for name, call in wanted.items():
                if name in ended or (name not in self.running and len(self.running) >= at_once):
                    continue
                found = self.follow(call)
                if found is not None:
                    ended[name] = found
                    left += self.running.pop(name, [])
                    self.polls = 0
                    over |= until_failure and found.failure is not None
            over |= len(ended) == len(wanted)
            self.show(wanted.values(), ended)
            self.check_time()
            if not over:
                self.pause()
        if left or self.running:
            self.servers.cancel()
        return {name: ended[name] for name in wanted if name in ended}

    def pause(self) -> None:
        """Short at first, so that a call of milliseconds does not wait for its end to be seen."""
        self.polls += 1
        time.sleep(min(SLOWEST_POLL_S, POLL_S * 1.2**self.polls))

    def follow(self, call: Call) -> Ended | None:
        """One look at one call; its end, where it has come."""
        state = self.state(call)
        if state.ended:
            return self.end_of(call, state, self.functions.activation(state.activations[-1]))
        live = self.running.get(call.name)
        if not live:
            if time.monotonic() >= self.not_before:
                self.invoke(call, state)
            return None
        for activation in tuple(live):
            found = self.look(call, activation)
            if found is not None:
                return found
        if self.stragglers.is_late(call.name) and not state.backups:
            self.back_up(call)
        return None

    def look(self, call: Call, activation: str) -> Ended | None:
        """One look at one activation of a call."""
        state, record = self.state(call), self.functions.activation(activation)
        if record is None:
            return self.missing(call, state, activation)
        if record.success:
            return self.close(call, state, activation, record)
        return self.failed(call, state, activation, record, failure(record, runner=call.runner))

    def state(self, call: Call) -> CallState:
        fresh = CallState(name=call.name, action=call.action, hidden=call.hidden)
        return self.book.state.calls.get(call.name, fresh)

    def invoke(self, call: Call, state: CallState, *, backup: bool = False) -> None:
        # a name that no killed coordinator can have given: what it started and could not note down may still write
        attempt = f"{len(state.activations)}-{secrets.token_hex(4)}"
        try:
            parameters = call.parameters() if call.for_attempt is None else call.for_attempt(attempt)
            activation = self.functions.invoke(call.action, parameters)
        except ThrottledError as error:
            self.hold(error)
            return
        self.throttled_since = None
        self.running.setdefault(call.name, []).append(activation)
        made = {
            "activations": (*state.activations, activation),
            "attempts": (*state.attempts, attempt),
            "backups": state.backups + backup,
            "invoked_at": time.time(),
            "state": "started",
        }
        self.remember(state.model_copy(update=made))
        if not backup:
            self.stragglers.waits(call.name)

    def back_up(self, call: Call) -> None:
        """The same function once more, beside the one that takes so long."""
        if time.monotonic() >= self.not_before:
            self.log(f"{call.name} takes longer than {self.stragglers.bound():.1f} s: started a second time")
            self.invoke(call, self.state(call), backup=True)

    def hold(self, error: ThrottledError) -> None:
        """Nothing is invoked for as long as the server asks; meanwhile no time passes where nothing of ours runs.

        Raises the error where this has no end.
        """
        now = time.monotonic()
        self.throttled_since = self.throttled_since or now
        if now - self.throttled_since > THROTTLED_FOR_S:
            raise error
        if now >= self.not_before and not any(self.running.values()):
            self.excuse(error.wait_s)
        self.not_before = now + error.wait_s

    def missing(self, call: Call, state: CallState, activation: str) -> Ended | None:
        """No record yet: it runs, it is queued, or it was lost."""
        pool = self.servers.pool()
        queued = {one.activation: one.reason for one in pool.queue} if pool else {}
        reason = queued.get(activation, "")
        if reason and activation == self.running[call.name][0]:
            self.stragglers.waits(call.name)
        if reason and not state.state.startswith("queued"):
            self.remember(state.model_copy(update={"state": f"queued: {reason}"}))
            self.log(f"{call.name} queued: {reason}")
            self.book.note(f"{call.name} queued: {reason}")
        if pool is not None and not reason and self.overdue(state):
            return self.failed(call, state, activation, None, LOST)
        return None

    def overdue(self, state: CallState) -> bool:
        """Whether it has taken longer than any activation may: it is in a queue that nobody sees, or lost."""
        return time.time() - state.invoked_at > self.limits.start_s + self.limits.timeout_s + LOST_AFTER_S

    def failed(
        self, call: Call, state: CallState, activation: str, record: Activation | None, why: Failure
    ) -> Ended | None:
        """Made again where that may help and no other is under way. Raises InfrastructureError where a server failed
        it each time."""
        reason = "failed" if call.hidden else one_line(why.reason)
        self.log(f"{call.name}: {reason} (activation {activation})")
        live = self.running[call.name]
        live.remove(activation)
        if why.again and (live or len(state.activations) - state.backups < call.attempts):
            return None
        if issubclass(why.error, InfrastructureError):
            raise (why.withheld if call.hidden else why).of(call.name)
        return self.close(call, state, activation, record)

    def close(self, call: Call, state: CallState, activation: str, record: Activation | None) -> Ended:
        """The activation that counts becomes the last one."""
        if activation in (live := self.running[call.name]):
            live.remove(activation)
        self.stragglers.ended(call.name)
        state = state.ended_by(activation)
        self.remember(state)
        return self.end_of(call, state, record)

    def end_of(self, call: Call, state: CallState, record: Activation | None) -> Ended:
        if record is None:
            raise LOST.of(state.name)
        attempt = state.attempts[-1] if state.attempts else ""
        return Ended(call, record, None if record.success else failure(record, runner=call.runner), attempt)

    def show(self, calls: Iterable[Call], ended: Mapping[str, Ended]) -> None:
        groups: dict[str, list[bool]] = {}
        for call in calls:
            groups.setdefault(call.group, []).append(call.name in ended)
        for group, done in groups.items():
            self.listener.progress(group, sum(done), len(done), None, None, "done" if all(done) else "running")

    @property
    def used(self) -> float:
        """Seconds that the job has taken."""
        return time.monotonic() - self.begun

    def remember(self, call: CallState) -> None:
        self.book.update_call(call, self.used)

    def check_time(self, until_now: str = "") -> None:
        """`until_now`, in words, what was done until the time was up."""
        used = self.used
        if used > self.book.state.seconds + KEEP_TIME_S:  # a resumed run goes on counting from here
            self.book.worked(used)
        if used > self.limits.seconds:
            waiting = [self.book.state.calls[one] for one in self.running]
            queued = next((one for one in waiting if one.state.startswith("queued") or self.overdue(one)), None)
            if queued is not None:
                self.book.worked(0.0, lost_s=0.0)  # a resume has all of it: none of it was the submission's
                raise InfrastructureError(
                    f"the job took longer than {self.limits.seconds:.0f} s, and {queued.name} was {queued.state}",
                    hint="a larger pool, or an assignment with fewer functions at a time",
                )
            done = f": {until_now}" if until_now else ""
            raise LimitError(
                f"the job took longer than {self.limits.seconds:.0f} s{done}",
                hint="do less work, or look for endless loops",
            )

    def excuse(self, seconds: float) -> None:
        """Takes seconds off that were not the submission's, such as those for which the server took no call."""
        self.begun += seconds

    def finished(self) -> float:
        """Seconds that the job has taken, which are remembered."""
        self.book.worked(self.used)
        return self.book.state.seconds
