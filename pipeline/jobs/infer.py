"""The kind `infer`: ten pictures that are shown, then hidden ones, one at a time and many at once.

What a student's process sees of hidden pictures it can print: logs, results and errors of these calls are staff's.
Errors that the student is to mend come out with the shown pictures, whose logs and answers are everybody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pipeline.backends import Backends
from pipeline.backends.functions import Action
from pipeline.calling.bulk import Bulk, Burst
from pipeline.calling.calls import Call, Calls
from pipeline.calling.hostload import HostLoad
from pipeline.calling.remembered import Book
from pipeline.calling.resuming import take_up
from pipeline.figures import save_figures
from pipeline.jobs.infer_phases import Plan, phase_of, plans, remember, remembered
from pipeline.jobs.infer_pictures import SHOWN, Pictures, prepare
from pipeline.jobs.infer_report import brought_home
from pipeline.kinds.infer import InferData, InferJob
from pipeline.listener import Listener, StageLog
from pipeline.planned_actions import planned_actions
from pipeline.run import Executed, Run, data_of, done, job_of

WARMING = 2
"""Calls for each of those at once, before they are timed: the first starts a container, the second finds it warm.

Also of one at a time: the container that the shown digits were asked of is gone after a stop of the run.
"""


class Infer:
    """A trained model as a function."""

    def execute(self, run: Run, backends: Backends, log: StageLog, listener: Listener) -> None:
        book, servers = Book(run), backends.servers
        take_up(book, servers)
        (action,) = planned_actions(run)
        limits = done(run.record.checked, "check").assignment.limits
        planned = plans(job_of(run, InferJob), data_of(run, InferData))
        log(f"pictures: {SHOWN} shown, {sum(one.count for one in planned)} hidden")
        pictures = prepare(run, backends, book, action)
        calls = Calls(book, servers, limits, log, listener)
        with HostLoad() as load:
            shown_first(calls, pictures, action)
            carry_out_left(calls, pictures, action, planned)
        seconds = calls.finished()
        book.update(host_cpu_percent=load.percent)
        activations = {name: one.activations for name, one in book.state.calls.items()}
        activations |= {one.name: tuple(each.activation for each in one.calls) for one in remembered(book.state)}
        run.update(executed=Executed(activations=activations, seconds=round(seconds, 3), notes=book.state.notes))

    def collect(self, run: Run, backends: Backends, log: StageLog) -> None:
        figures = brought_home(run, backends)
        save_figures(run, figures)
        log(figures.headline or "nothing to grade")

    def release(self, run: Run) -> None:
        """Nothing runs beside the servers."""


def shown_first(calls: Calls, pictures: Pictures, action: Action) -> None:
    """The first in a container that starts for it. Raises what a student has to mend."""
    asked = [
        Call(f"digit-{number}", action.name, partial(pictures.url, number), "shown digits", attempts=1)
        for number in range(SHOWN)
    ]
    # what fails is likely to fail each time, and may take long to do so
    for some in (asked[:1], asked[1:]):
        for ended in calls.run(some, at_once=1).values():
            ended.answer()


def carry_out_left(calls: Calls, pictures: Pictures, action: Action, planned: Sequence[Plan]) -> None:
    """The phases that are not remembered: after a kill the one that was cut short is made whole."""
    for plan in planned[len(remembered(calls.book.state)) :]:
        carry_out(calls, pictures, action, plan)


def carry_out(calls: Calls, pictures: Pictures, action: Action, plan: Plan) -> None:
    """One phase to its end, and remembered. The time for which the server took no call is not the submission's."""

    def burst(group: str, numbers: Sequence[int]) -> Burst:
        def look(ended: int) -> None:
            calls.listener.progress(group, ended, len(numbers), None, None, "running")
            calls.check_time(f"{ended} of {len(numbers)} calls of `{group}` had ended")

        bulk = Bulk(calls.functions, action.name, calls.limits.timeout_s, look, calls.excuse)
        made = bulk.run([pictures.url(number) for number in numbers], plan.at_once)
        calls.listener.progress(group, len(numbers), len(numbers), None, None, "done")
        return made

    warming = burst(f"warming {plan.at_once}", [at % SHOWN for at in range(WARMING * plan.at_once)])
    hidden = range(SHOWN + plan.first, SHOWN + plan.first + plan.count)
    phase = phase_of(plan, warming, burst(plan.name, hidden))
    remember(calls.book, phase, calls.used)
