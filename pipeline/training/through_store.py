"""Training without a server: workers average through the run's bucket, and the course only looks on.

What the course takes from there are the initial parameters, before any worker goes on, those that are to be scored, and
the final ones: bounded arrays of one form. How far a worker is, it says itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.backends import Backends
from pipeline.backends.servers import ForwarderRequest
from pipeline.backends.store import Key
from pipeline.embedded.contract import Service
from pipeline.errors import InfrastructureError, LimitError, SubmissionError
from pipeline.kinds.train import TrainJob
from pipeline.run import Run
from pipeline.training import left_parameters
from pipeline.training.checkpoints import FINAL, INITIAL, version_name
from pipeline.training.collecting import FORWARDER
from pipeline.training.execution import Memory, WorkerState
from pipeline.training.left_parameters import Form
from pipeline.training.material import checked
from pipeline.training.prediction import STORE_PORT
from pipeline.training.server_process import prefix
from pipeline.training.status import ServerStatus, ShardStatus

START = "start"
SPARE_S = 3600.0
PROGRESS_BYTES = 2**17
MEBIBYTE = 2**20
EXCHANGE_SHARE = 3
"""The part of the bucket that rounds may fill between two checkpoints; shards and checkpoints need the rest."""
FORWARDED_BYTES = 4 * 2**30
POLLS_A_SECOND = 8
REQUESTS_A_PART = 20
MODELS_A_ROUND = 32
Finite = Annotated[float, Field(gt=-1e9, lt=1e9, allow_inf_nan=False)]
Point = tuple[Annotated[int, Field(ge=0, lt=2**31)], Finite, Finite]
"""Round, seconds since the start, loss."""


class Told(BaseModel):
    """What a worker says of itself. Reported: nothing here is graded."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    activation: str = Field(default="", max_length=64)
    finished: bool = False
    round: int = Field(default=0, ge=0, lt=2**31)
    steps: int = Field(default=0, ge=0, lt=2**31)
    samples: int = Field(default=0, ge=0, lt=2**40)
    loss: Finite | None = None
    points: tuple[Point, ...] = Field(default=(), max_length=1000)
    sent: float = Field(default=0, ge=0, lt=2**50)
    received: float = Field(default=0, ge=0, lt=2**50)
    compute_s: Finite = 0.0
    communication_s: Finite = 0.0
    wait_s: Finite = 0.0

    def status(self, shard: int, running: str | None) -> ShardStatus:
        return ShardStatus(
            shard=shard,
            registered=running is not None and self.activation == running,
            complete=self.finished,
            finished=self.finished,
            steps=self.steps,
            samples=self.samples,
            loss=self.loss,
            bytes_sent=int(self.sent),
            bytes_received=int(self.received),
            compute_s=self.compute_s,
            communication_s=self.communication_s,
            wait_s=self.wait_s,
        )


class StoreTraining:
    """What the coordinator asks of a parameter server, where there is none."""

    def __init__(self, run: Run, backends: Backends, memory: Memory) -> None:
        self.run = run
        self.memory = memory
        self.servers = backends.servers
        self.bucket = self.servers.run_bucket()
        self.assignment, self.job = checked(run)
        self.form: Form | None = None
        self.key: Key
        self.address = ""

    def open(self, action: str) -> None:
        """The way to the bucket, and the key for it. Raises InfrastructureError where the pool is too small."""
        self.check_pool()
        self.key = self.servers.run_key(timedelta(seconds=self.lasting))
        self.memory.update(secrets=(self.key.secret_key,))
        socket = self.servers.open_forwarder(self.request(1, left_parameters.MOST_BYTES))
        self.address = self.servers.set_reach(action, [Service(name="store", socket=socket, port=STORE_PORT)])["store"]

    @property
    def lasting(self) -> float:
        return self.assignment.limits.seconds + SPARE_S

    @property
    def rounds(self) -> int:
        """As many as the longest shard makes."""
        return max(rounds_of(rows, self.job) for rows in self.memory.state.shard_rows)

    def check_pool(self) -> None:
        pool, job, limits = self.servers.pool(), self.job, self.assignment.limits
        if pool is not None and pool.size_mb < job.workers * limits.memory_mb:
            raise InfrastructureError(
                f"{job.workers} workers that average among themselves run at once, and the pool of {pool.size_mb} MB "
                f"has room for {pool.size_mb // limits.memory_mb} of {limits.memory_mb} MB",
                hint="a larger pool, fewer workers, or less memory for each",
            )

    def request(self, rounds: int, model_bytes: int) -> ForwarderRequest:
        """The bucket as an ordinary client sees it. Caps leave room for checkpoints and rounds that are done again."""
        workers, seconds = self.job.workers, self.assignment.limits.seconds
        moved = FORWARDED_BYTES + MODELS_A_ROUND * workers * rounds * model_bytes
        return ForwarderRequest(
            FORWARDER,
            "run",
            (),
            False,
            requests=int(workers * (workers * rounds * REQUESTS_A_PART + seconds * POLLS_A_SECOND)),
            bytes_total=moved,
            bytes_sent=moved,
            own_bucket=True,
            stored_bytes=self.job.stored_mb * MEBIBYTE,
            expires=time.time() + self.lasting,
        )

    def parameters(self, worker: WorkerState) -> Mapping[str, Any]:
        """Those that the course has always used, as far as there is no server, and the way to the others."""
        job, state = self.job, self.memory.state
        url = self.bucket.url(
            state.shard_keys[worker.number], valid_for=timedelta(seconds=self.lasting), address=self.address
        )
        return {
            "batch_sz_train": job.batch_size,
            "epoch_n": job.epochs,
            "update_intv": job.update_interval,
            "dataset_url": url,
            "device": job.device,
            "shard": worker.number,
            "seed": job.seed,
            "threads": job.threads,
            "max_steps": job.max_steps,
            "aggregation": job.aggregation,
            "algorithm": job.algorithm,
            "optimiser": job.optimiser,
            "learning_rate": job.learning_rate,
            "momentum": job.momentum,
            "force": job.force,
            "endpoint": self.address,
            "bucket": self.bucket.name,
            "access_key": self.key.access_key,
            "secret_key": self.key.secret_key,
            "shard_rows": list(state.shard_rows),
            "checkpoint_rounds": job.checkpoint_updates,
            "stored_bytes": job.stored_mb * MEBIBYTE // EXCHANGE_SHARE,
            "scored": self.scored(),
        }

    def scored(self) -> list[int]:
        """Evenly spaced rounds between the first and the last, as many as the assignment asks for."""
        count = self.job.scored_checkpoints
        return sorted({self.rounds * part // (count + 1) for part in range(1, count + 1)} - {0, self.rounds})

    # looking on

    def status(self) -> ServerStatus:
        """Takes the initial parameters home as soon as they are there; what each worker says of itself."""
        if self.form is None:
            self.take_initial()
        told = [self.told(number) for number in range(self.job.workers)]
        shards = tuple(
            one.status(worker.number, worker.running)
            for one, worker in zip(told, self.memory.state.workers, strict=True)
        )
        return ServerStatus(version=max(one.round for one in told), losses=mean_losses(told), shards=shards)

    def told(self, worker: int) -> Told:
        """Nothing where the worker has said nothing that can be read."""
        try:
            return Told.model_validate_json(self.bucket.get(f"progress-{worker}.json", at_most=PROGRESS_BYTES))
        except (KeyError, LimitError, ValidationError):
            return Told()

    def take_initial(self) -> None:
        """Then workers go on, and not before: what they begin with is what the course compares with."""
        course, key = self.servers.course_bucket(), f"{prefix(self.run)}/{INITIAL}"
        try:
            if course.exists(key):
                found = left_parameters.take(course, key, "initial parameters", None)
            else:
                found = left_parameters.take(self.bucket, INITIAL, "initial parameters", None)
                course.put(key, left_parameters.as_object(found, 0))
        except KeyError:
            return
        self.form = left_parameters.form_of(found)
        model_bytes = sum(one.nbytes for one in found.values())
        self.servers.open_forwarder(self.request(self.rounds, model_bytes))
        self.bucket.put(START, b"{}")

    def versions(self) -> list[tuple[str, int, str]]:
        """(name, version, key) of the initial, the scored and the final parameters, which are brought home here."""
        at = prefix(self.run)
        found = [("initial", 0, f"{at}/{INITIAL}")]
        for version in self.scored():
            if self.bring_home(version_name(version), f"parameters of round {version}", version):
                found.append((f"checkpoint-{version}", version, f"{at}/{version_name(version)}"))
        if not self.bring_home(FINAL, "final parameters", self.rounds):
            raise SubmissionError("worker-0 left no final parameters", hint=left_parameters.KEEP)
        return [*found, ("final", self.rounds, f"{at}/{FINAL}")]

    def bring_home(self, name: str, what: str, version: int) -> bool:
        try:
            found = left_parameters.take(self.bucket, name, what, self.form)
        except KeyError:
            return False
        self.servers.course_bucket().put(f"{prefix(self.run)}/{name}", left_parameters.as_object(found, version))
        return True


def rounds_of(rows: int, job: TrainJob) -> int:
    """Parts that a shard gives: of `update_interval` batches, fewer at the end of an epoch."""
    steps = ceil(rows / job.batch_size)
    total = min(job.epochs * steps, job.max_steps or job.epochs * steps)
    epochs, rest = divmod(total, steps)
    return epochs * ceil(steps / job.update_interval) + ceil(rest / job.update_interval)


def mean_losses(told: list[Told]) -> tuple[Point, ...]:
    """The mean of the workers' losses at each round that they tell of."""
    found: dict[int, list[tuple[float, float]]] = {}
    for one in told:
        for version, seconds, loss in one.points:
            found.setdefault(version, []).append((seconds, loss))
    return tuple(
        (version, max(seconds for seconds, _ in points), sum(loss for _, loss in points) / len(points))
        for version, points in sorted(found.items())
    )
