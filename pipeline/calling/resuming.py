"""What a run that was stopped or killed left of its calls, when it goes on.

A call that had ended, or whose function ended well while nobody looked, is not made again. All others are, and what
was lost counts as no attempt, no activation and no time to complete: only its log and its place on the clock are kept.
The time that the assignment limits goes on all the same while somebody works on the run, or none would ever end a run
that brings its machine down.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipeline.backends.functions import Activation, Functions
from pipeline.backends.servers import Servers
from pipeline.calling.remembered import Book, CallState


def take_up(book: Book, servers: Servers, *, parts_count: bool = False) -> list[str]:
    """Before anything is invoked. What a killed coordinator left running has nobody to answer, and is ended.

    With `parts_count` what a function did until it was ended is not lost, and the time that it took counts, where that
    is known. Returns the names of the calls that were lost.
    """
    servers.cancel()
    left = [one for one in book.state.calls.values() if one.activations and not one.ended]
    calls: list[CallState] = []
    ends: list[float] = []
    for call in left:
        records = records_of(call, servers.functions())
        well = next((name for name, one in records.items() if one.success), None)
        calls.append(call.as_stopped() if well is None else call.ended_by(well))
        ends += [one.end for name, one in records.items() if name == well or (parts_count and tells_its_end(one))]
    if calls:
        settle(book, calls, ends, parts_count=parts_count)
    return [one.name for one in calls if not one.ended]


def settle(book: Book, calls: Sequence[CallState], ends: Sequence[float], *, parts_count: bool) -> None:
    """Remembers these calls, and the time until which functions went on that count; they did so until `ends`."""
    state, now = book.state, time.time()
    seen = state.seen or now
    until = max([seen, *(min(one, now) for one in ends)])
    counted = until if parts_count else min(until, max([state.counted or now, *ends]))
    book.update(
        calls=state.calls | {one.name: one for one in calls},
        seconds=state.seconds + until - seen,
        seen=until,
        counted=counted,
        counted_s=max(state.counted_s, state.seconds + counted - seen),
    )


def tells_its_end(record: Activation) -> bool:
    """Servers that were killed themselves say at their next start that it ended then."""
    return record.status != "whisk internal error" or "cancelled" in str(record.result)


def records_of(call: CallState, functions: Functions) -> dict[str, Activation]:
    """By activation, of those that have ended."""
    found = {one: functions.activation(one) for one in call.activations}
    return {name: one for name, one in found.items() if one is not None}
