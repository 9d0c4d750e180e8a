"""The kind `function`: `main(params)` on the assignment's cases, one after another, judged by its answers.

With `invocations` the submission is a program of many functions: its `main` gets a key to invoke its own action and
one for the run's bucket, both as parameters that are bound to the action, so that those whom it invokes have them too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pipeline.backends import Backends
from pipeline.backends.functions import Action
from pipeline.backends.servers import ForwarderRequest
from pipeline.calling.calls import Call, Calls
from pipeline.calling.collecting import Home, bring_home, unjudged
from pipeline.calling.hostload import HostLoad
from pipeline.calling.remembered import Book, CallState, Executing, load
from pipeline.calling.resuming import take_up
from pipeline.embedded.contract import API_SERVICE, Invoking, Service
from pipeline.errors import InfrastructureError
from pipeline.figures import save_figures
from pipeline.jobs.function_report import Judged, figures_of
from pipeline.judging import Predicates, verdict
from pipeline.kinds.function import Case, FunctionData, FunctionJob
from pipeline.listener import Listener, Silent, StageLog
from pipeline.planned_actions import planned_actions
from pipeline.run import Executed, Run, data_of, done, job_of

STORE_PORT, API_PORT = 9000, 3233
NAME = "function"
SPARE_S = 3600.0
BYTES_A_REQUEST = 2**20
REQUESTS_AN_INVOCATION = 400
STORE_REQUESTS = 200_000
STORED_TIMES = 64
"""How often the whole bucket may be read or written."""
MB = 2**20


class Function:
    """Cases, one at a time: each has the store and the pool to itself."""

    def execute(self, run: Run, backends: Backends, log: StageLog, listener: Listener) -> None:
        book, servers = Book(run), backends.servers
        take_up(book, servers)
        limits = done(run.record.checked, "check").assignment.limits
        cases = in_order(data_of(run, FunctionData).cases)
        (action,) = planned_actions(run)
        put_aside(run, backends, book, cases, action)
        prepare(run, backends, book, action)
        calls = Calls(book, servers, limits, log, Silent())  # of a single call nothing is to be followed
        with HostLoad() as load:
            for number, case in enumerate(cases):
                listener.progress("cases", number, len(cases), None, None, "running")
                answered(run, backends, calls, case, action)
            listener.progress("cases", len(cases), len(cases), None, None, "done")
        seconds = calls.finished()
        book.update(host_cpu_percent=load.percent)
        activations = {name: one.activations for name, one in book.state.calls.items()}
        run.update(executed=Executed(activations=activations, seconds=round(seconds, 3), notes=book.state.notes))

    def collect(self, run: Run, backends: Backends, log: StageLog) -> None:
        state, cases = load(run), data_of(run, FunctionData)
        home = bring_home(run, backends, state, state.calls.values(), state.kept.get("secrets", []))
        if run.record.executed is None:
            save_figures(run, unjudged(state, home))
            return
        predicates = Predicates(cases.predicates)
        judged = [judge(case, state, home, predicates) for case in cases.cases]
        save_figures(run, figures_of(run, backends, state, home, judged))
        log(f"{sum(one.verdict.right for one in judged)} of {len(judged)} cases right")

    def release(self, run: Run) -> None:
        """Nothing runs beside the servers."""


def in_order(cases: Sequence[Case]) -> list[Case]:
    """Hidden ones last: what a function keeps of their inputs, in bucket or container, no other one can show."""
    return sorted(cases, key=lambda case: case.hidden)


def put_aside(run: Run, backends: Backends, book: Book, cases: Sequence[Case], action: Action) -> None:
    """What a case that is made again has invoked until a stop of the run: no case's, and no part of what it may.

    One that has ended, and is not noted yet, has all that is not known to be another's.
    """
    state = book.state
    ended = {one.name for one in cases if one.name in state.calls and state.calls[one.name].ended}
    if state.kept and job_of(run, FunctionJob).invocations and ended <= {*state.kept.get("noted", [])}:
        book.keep(stopped=[*stopped(book), *unknown(backends, book, action)])


def stopped(book: Book) -> list[str]:
    return list(book.state.kept.get("stopped", []))


def unknown(backends: Backends, book: Book, action: Action) -> list[str]:
    """The activations of the action that no call of ours has made and that are nobody's yet."""
    known = {one for state in book.state.calls.values() for one in state.every_activation} | {*stopped(book)}
    return [one for one in backends.servers.functions().activation_ids(action.name) if one not in known]


def prepare(run: Run, backends: Backends, book: Book, action: Action) -> None:
    """What the functions reach, and the keys for it, bound to the action."""
    job, data = job_of(run, FunctionJob), data_of(run, FunctionData)
    bound: dict[str, Any] = {}
    services: list[Service] = []
    if job.reaches_store:
        put_objects(backends, data)
        services.append(store_service(run, backends, job))
    auth = ""
    if job.invocations:
        rule = invoking(run, job, data, action.name, len(stopped(book)))
        key = backends.servers.open_invocations(rule)
        services.append(Service(name=API_SERVICE, socket=key.socket, port=API_PORT))
        auth = key.auth
    addresses = backends.servers.set_reach(action.name, services)
    if job.reaches_store:
        store_key = backends.servers.run_key(timedelta(seconds=lasting(run)))
        bound |= {
            "endpoint": addresses["store"],
            "access_key": store_key.access_key,
            "secret_key": store_key.secret_key,
            "bucket": backends.servers.run_bucket().name,
        }
        book.keep(secrets=[store_key.secret_key, *([auth] if auth else [])])
    if auth:
        bound |= {"apihost": f"http://{addresses[API_SERVICE]}", "auth": auth, "action": action.name}
        bound["workers"] = job.workers
    if bound:
        backends.servers.functions().put_action(replace(action, parameters={**action.parameters, **bound}))


def lasting(run: Run) -> float:
    """Seconds for which keys open: as long as the job may take, and longer than a queue."""
    return done(run.record.checked, "check").assignment.limits.seconds + SPARE_S


def put_objects(backends: Backends, data: FunctionData) -> None:
    bucket = backends.servers.run_bucket()
    for path in sorted(data.objects.rglob("*")) if data.objects else ():
        if path.is_file():
            bucket.put(path.relative_to(data.objects).as_posix() if data.objects else path.name, path)


def store_service(run: Run, backends: Backends, job: FunctionJob) -> Service:
    """The run's bucket as an ordinary client sees it, with caps."""
    stored = job.stored_mb * MB
    request = ForwarderRequest(
        NAME,
        "run",
        (),
        False,
        requests=STORE_REQUESTS,
        bytes_total=stored * STORED_TIMES,
        bytes_sent=stored * STORED_TIMES,
        own_bucket=True,
        stored_bytes=stored,
        expires=time.time() + lasting(run),
    )
    return Service(name="store", socket=backends.servers.open_forwarder(request), port=STORE_PORT)


def invoking(run: Run, job: FunctionJob, data: FunctionData, action: str, stopped: int) -> Invoking:
    """The cap holds for all cases together; a program that goes beyond its share leaves less to those after it.

    So many as were lost with a stop of the run are there once more.
    """
    invocations = job.invocations * len(data.cases) + stopped
    requests = invocations * REQUESTS_AN_INVOCATION
    return Invoking(
        name=NAME,
        actions=(action,),
        invocations=invocations,
        requests=requests,
        bytes_total=invocations * 4 * BYTES_A_REQUEST,
        per_minute=requests,
        expires=time.time() + lasting(run),
    )


def answered(run: Run, backends: Backends, calls: Calls, case: Case, action: Action) -> None:
    """One case to its end. What the program invoked is noted down with it, and what of it still runs is ended."""
    calls.run([Call(case.name, action.name, lambda: case.input, "case", case.hidden, attempts=2, runner=False)])
    noted = calls.book.state.kept.get("noted", [])
    if job_of(run, FunctionJob).invocations and case.name not in noted:
        backends.servers.cancel()
        note_invoked(backends, calls.book, case, action)
        calls.book.keep(noted=[*noted, case.name])


def note_invoked(backends: Backends, book: Book, case: Case, action: Action) -> None:
    """The activations of the action that are nobody's yet: they are this case's, which ran alone."""
    calls = {
        f"{case.name}.{number}": CallState(
            name=f"{case.name}.{number}",
            action=action.name,
            activations=(activation,),
            ended=True,
            hidden=case.hidden,
        )
        for number, activation in enumerate(unknown(backends, book, action), start=1)
    }
    book.update(calls=book.state.calls | calls)


def judge(case: Case, state: Executing, home: Home, predicates: Predicates) -> Judged:
    """Raises InfrastructureError where the record of the case's activation is gone."""
    record = home.records.get(state.calls[case.name].activations[-1])
    if record is None:
        raise InfrastructureError(f"the record of case {case.name} is gone", hint="start the run anew")
    seconds = record.wait_s + record.end - record.start  # a cold start is part of it
    return Judged(case, verdict(case, record, predicates), seconds)
