"""The kind `matrix`: blocks of operands go into the run's bucket, functions compute those of the answer.

A worker is a share of the answer's blocks and one function at a time. What is left of a share is told by the store
alone: a function that hands back before its time is up, or is lost, leaves the rest to the next one of its worker.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from safetensors.numpy import save

from pipeline.backends import Backends
from pipeline.backends.functions import Action
from pipeline.backends.servers import ForwarderRequest
from pipeline.backends.store import Bucket
from pipeline.calling.calls import Call, Calls
from pipeline.calling.collecting import bring_home
from pipeline.calling.hostload import HostLoad
from pipeline.calling.remembered import Book, CallState, Executing, load
from pipeline.calling.resuming import take_up
from pipeline.embedded.contract import Service
from pipeline.errors import InfrastructureError, LimitError
from pipeline.figures import save_figures
from pipeline.jobs.matrix_report import Done, figures_of
from pipeline.kinds.matrix import MatrixData, MatrixJob
from pipeline.listener import Listener, StageLog
from pipeline.matrices.blocks import Task, at_once, distinct, shares, tasks_of
from pipeline.matrices.judging import ARRAY, judge
from pipeline.matrices.operands import Operands
from pipeline.planned_actions import planned_actions
from pipeline.run import Executed, Run, data_of, done, job_of
from pipeline.training.material import secret

STORE_PORT = 9000
NAME = "matrix"
OPERANDS, RESULTS = "matrix/operands/", "matrix/results/"
SPARE_S = 3600.0
TIMES, SPARE_REQUESTS, SPARE_BYTES = 10, 1000, 2**26
"""The store answers ten times the requests and bytes that are needed where nothing is kept, and some."""


@dataclass
class Work:
    """One run's tasks, and whatever names them to its functions."""

    run: Run
    backends: Backends
    action: Action
    address: str = ""
    job: MatrixJob = field(init=False)
    data: MatrixData = field(init=False)

    def __post_init__(self) -> None:
        """Raises SubmissionError for a block size that makes too many blocks."""
        self.job, self.data = job_of(self.run, MatrixJob), data_of(self.run, MatrixData)
        self.tasks = tasks_of(self.data, self.job.block_size)
        self.shares = shares(self.tasks, self.job.workers)
        self.bucket: Bucket = self.backends.servers.run_bucket()
        self.seconds = done(self.run.record.checked, "check").assignment.limits.seconds

    def left(self) -> list[tuple[Task, ...]]:
        """Of each worker's share the tasks whose result is not in the store."""
        stored = set(self.bucket.keys(RESULTS))
        return [tuple(one for one in share if result_key(one) not in stored) for share in self.shares]

    def call(self, name: str, worker: int) -> Call:
        return Call(name, self.action.name, lambda: self.parameters(worker), worker_name(worker))

    def parameters(self, worker: int) -> dict[str, Any]:
        """What the worker's next function has to do, with fresh URLs."""
        tasks = at_once(self.left()[worker])
        return {
            "operation": self.data.operation,
            "blocks": {one.name: self.url(operand_key(one.name)) for one in distinct(tasks)},
            "tasks": [
                one.told(self.data)
                | {"reads": [block.name for block in one.reads], "result_url": self.url(result_key(one), "PUT")}
                for one in tasks
            ],
        }

    def url(self, key: str, method: str = "GET") -> str:
        valid = timedelta(seconds=self.seconds + SPARE_S)
        return self.bucket.url(key, method=method, valid_for=valid, address=self.address)

    def put_operands(self, listener: Listener) -> None:
        """Block by block; none is made twice, and none is held any longer than it takes to store it."""
        operands = operands_of(self.run)
        stored, blocks = set(self.bucket.keys(OPERANDS)), distinct(self.tasks)
        for number, block in enumerate(blocks, start=1):
            key = operand_key(block.name)
            if key not in stored:
                self.bucket.put(key, save({ARRAY: operands.part(block.operand, block.rows, block.columns)}))
            listener.progress("operands", number, len(blocks), None, None, "stored")

    def open_way(self) -> None:
        """The store, for its functions: they read operands and put results, and see nothing else there."""
        read = sum(block.bytes for task in self.tasks for block in task.reads)
        written = sum(task.bytes for task in self.tasks)
        bucket = self.bucket.name
        request = ForwarderRequest(
            NAME,
            "run",
            (("GET", f"/{bucket}/{OPERANDS}"), ("PUT", f"/{bucket}/{RESULTS}")),
            False,
            requests=most_requests(self.tasks),
            bytes_total=TIMES * (read + written) + SPARE_BYTES,
            bytes_sent=TIMES * written + SPARE_BYTES,
        )
        service = Service(name="store", socket=self.backends.servers.open_forwarder(request), port=STORE_PORT)
        self.address = self.backends.servers.set_reach(self.action.name, [service])["store"]


class Matrix:
    """Workers that share the blocks of one answer."""

    def execute(self, run: Run, backends: Backends, log: StageLog, listener: Listener) -> None:
        book, servers = Book(run), backends.servers
        lost = take_up(book, servers, parts_count=True)
        (action,) = planned_actions(run)
        work = Work(run, backends, action)
        log(f"{work.data.in_words()}: {len(work.tasks)} blocks, {len(work.shares)} workers")
        work.put_operands(listener)
        if lost:
            book.keep(moved_in_vain=moved_in_vain(work, book.state, {worker_of(one) for one in lost}))
        work.open_way()
        calls = Calls(book, servers, done(run.record.checked, "check").assignment.limits, log, listener)
        with HostLoad() as host:
            compute(work, calls)
        seconds = calls.finished()
        book.update(host_cpu_percent=host.percent)
        activations = {name: one.activations for name, one in book.state.calls.items()}
        run.update(executed=Executed(activations=activations, seconds=round(seconds, 3), notes=book.state.notes))

    def collect(self, run: Run, backends: Backends, log: StageLog) -> None:
        state, data, job = load(run), data_of(run, MatrixData), job_of(run, MatrixJob)
        tasks = tasks_of(data, job.block_size)
        parts = shares(tasks, job.workers)
        home = bring_home(run, backends, state, of_workers(state, parts))
        bucket, operands = backends.servers.run_bucket(), operands_of(run)
        judged = [judge(bucket, result_key(one), one, data, operands) for one in tasks]
        done_by = Done(data, job, parts, tuple(judged))
        save_figures(run, figures_of(run, backends.servers.traffic(NAME), state, home, done_by))
        log(f"{sum(one.right for one in judged)} of {len(judged)} blocks right")

    def release(self, run: Run) -> None:
        """Nothing runs beside the servers."""


def compute(work: Work, calls: Calls) -> None:
    """One function of each worker after another until the store has all results, or none comes any more.

    Raises what a function failed of, LimitError where they ask too much of the store.
    """
    given_up: set[int] = set()
    while True:
        before = [len(tasks) for tasks in work.left()]
        going = [number for number, count in enumerate(before) if count and number not in given_up]
        if not going:
            return
        wanted = {call_name(calls.book.state, number): number for number in going}
        try:
            ended = calls.run(work.call(name, number) for name, number in wanted.items())
        except InfrastructureError:
            refuse_greed(work)
            raise
        for name, number in wanted.items():
            if (why := ended[name].failure) is not None:
                raise why.of(worker_name(number))
        after = [len(tasks) for tasks in work.left()]
        given_up |= {number for number in going if after[number] == before[number]}


def moved_in_vain(work: Work, state: Executing, workers: Iterable[int]) -> int:
    """Of the bytes moved until a stop those that the next functions of these workers have to move again, at most.

    These are all where no result came of them; else the blocks that are needed still, of tasks done or begun: a
    function may have kept them.
    """
    passed, left = work.backends.servers.traffic(NAME), work.left()
    until_now = passed.bytes_received + passed.bytes_sent
    if sum(map(len, left)) == len(work.tasks):
        return until_now
    again = 0
    for number in workers:
        begun = [one for one in work.shares[number] if one not in left[number]] + [*left[number][:1]]
        again += sum(one.bytes for one in {*distinct(begun)} & {*distinct(left[number])})
    return min(until_now, int(state.kept.get("moved_in_vain", 0)) + again)


def refuse_greed(work: Work) -> None:
    """Raises LimitError where the store has refused a function because all of them had asked too much of it."""
    passed = work.backends.servers.traffic(NAME)
    if passed.requests >= most_requests(work.tasks):
        raise LimitError(
            f"the functions have asked the store {passed.requests:,} times, which is all that they may",
            hint="read each block once for a task",
        )


def most_requests(tasks: Sequence[Task]) -> int:
    return TIMES * sum(len(one.reads) + 1 for one in tasks) + SPARE_REQUESTS


def worker_name(number: int) -> str:
    return f"worker-{number + 1}"


def worker_of(call: str) -> int:
    return int(call.split("-")[1]) - 1


def call_name(state: Executing, number: int) -> str:
    """The worker's own name for its first function, with a number for each one after it."""
    name, count = worker_name(number), 1
    while (known := state.calls.get(name)) is not None and known.ended:
        count += 1
        name = f"{worker_name(number)}-{count}"
    return name


def of_workers(state: Executing, parts: Sequence[Sequence[Task]]) -> Iterable[CallState]:
    """The calls of each worker as one, so that it has one log and one row of figures.

    What was lost with a stop is among them: blocks came of it.
    """
    for number in range(len(parts)):
        name = worker_name(number)
        own = [one for one in state.calls.values() if one.name == name or one.name.startswith(f"{name}-")]
        if own:
            activations = tuple(each for one in own for each in one.every_activation)
            yield own[-1].model_copy(update={"name": name, "activations": activations, "stopped": ()})


def operands_of(run: Run) -> Operands:
    """Each run has its own, though the assignment may have one secret: what one run printed helps no other."""
    own = secret(run, done(run.record.checked, "check").assignment)
    return Operands(hmac.digest(own, run.record.run.encode(), "sha256"))


def operand_key(name: str) -> str:
    return f"{OPERANDS}{name.replace('/', '-')}.safetensors"


def result_key(task: Task) -> str:
    return f"{RESULTS}{task.name}.safetensors"
