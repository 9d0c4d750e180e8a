"""A worker of a training without a server: it averages with the others through the run's bucket alone.

A round is a worker's part, its exchange, and what follows from the mean. Every object's key is known beforehand. A
worker goes on from its own checkpoint, and does the rounds since then again: what it finds there is what it would put.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from runner import arrays, dataset
from runner.algorithms import GradientAveraging, algorithm, means
from runner.batches import Batches, Position
from runner.bucket import Bucket, LateError
from runner.deadline import deadline
from runner.device import choose_device
from runner.errors import ParameterError
from runner.exchange import Exchange, owners_of
from runner.flat_model import FlatModel
from runner.learning import Learner
from runner.model import load_arrays, load_student_model, named_arrays
from runner.parameters import StoreParameters
from runner.progress import Progress
from runner.steps import stepper

START, INITIAL, FINAL = "start", "initial.safetensors", "final.safetensors"
NEAR_S = 15.0
"""A checkpoint is kept once when the end of the activation is so near: while waiting there is none to keep."""
LEAVES_FIRST_S = 1.0


def main(params: Mapping[str, Any]) -> dict[str, Any]:
    """Trains until the shard is finished or the deadline is near. Raises RunnerError."""
    asked = StoreParameters.parse(params)
    if asked.shard >= len(asked.shard_rows):
        raise ParameterError(f"Wrong parameters: shard {asked.shard} is not one of {len(asked.shard_rows)}")
    torch.set_num_threads(asked.threads)
    device = choose_device(asked.device)
    student = load_student_model()
    rows = dataset.fetch(asked.dataset_url)
    flat = FlatModel(student.build(asked.seed), device)
    bucket = Bucket(asked.endpoint, asked.bucket, asked.access_key, asked.secret_key)
    try:
        return StoreWorker(asked, Learner(student, rows, flat, batches_of(asked, asked.shard)), bucket).train()
    finally:
        bucket.close()


def batches_of(asked: StoreParameters, shard: int) -> Batches:
    """Of any worker's shard: how many rounds each takes part in, all of them know."""
    rows = asked.shard_rows[shard]
    return Batches(rows, asked.batch_sz_train, asked.epoch_n, asked.max_steps, asked.seed, shard)


class StoreWorker:
    def __init__(self, asked: StoreParameters, learner: Learner, bucket: Bucket) -> None:
        self.asked = asked
        self.learner = learner
        self.batches = learner.batches
        self.flat = learner.flat
        self.bucket = bucket
        self.rank, self.workers = asked.shard, len(asked.shard_rows)
        self.rounds = [batches_of(asked, one).rounds(asked.update_intv) for one in range(self.workers)]
        owners = owners_of(asked.aggregation, self.workers)
        self.exchange = Exchange(bucket, self.rank, self.workers, owners, self.flat.floats)
        step = stepper(asked.optimiser, self.flat.parameters, asked.learning_rate, asked.momentum)
        self.algorithm: GradientAveraging = algorithm(asked.algorithm, self.flat, step, asked.force)
        self.keep_each = max(1, min(asked.checkpoint_rounds, self.rounds_that_fit()))
        self.round, self.here = 0, Position(0, 0)
        self.leave_at = deadline() - asked.margin_s
        self.round_s = 0.0
        self.kept_near_the_end = False
        self.progress = Progress(bucket, self.rank, sum(self.rounds) // self.workers)

    def rounds_that_fit(self) -> int:
        """Between two checkpoints: objects of a round stay until every worker has one that is later."""
        return self.asked.stored_bytes // (4 * self.flat.floats * self.workers) - 1

    def train(self) -> dict[str, Any]:
        late = ""
        try:
            self.begin()
            while not self.finished and not self.must_leave():
                self.step()
            if not self.finished:
                self.keep()
        except LateError as error:
            late = str(error)
            print(f"Worker {self.rank}: hands back while it waits for {late}", flush=True)
        self.progress.tell(finished=self.finished, force=True)
        return self.result(late)

    @property
    def finished(self) -> bool:
        return self.round >= max(self.rounds)

    def must_leave(self) -> bool:
        return time.time() + self.round_s > self.leave_at - LEAVES_FIRST_S

    # the beginning

    def begin(self) -> None:
        """From the own checkpoint, else from the initial values, which are worker 0's and which the course has seen."""
        self.progress.tell(force=True)
        kept = self.bucket.get(self.checkpoint_key)
        if kept is not None:
            self.restore(kept)
            self.exchange.again = True
            self.progress.tell(force=True)
            return
        if self.rank == 0 and self.bucket.get(START) is None:
            self.bucket.put(INITIAL, self.parameters(self.flat.parameters))
        self.bucket.wait(START, self.leave_at)
        initial, _ = arrays.decode(self.bucket.wait(INITIAL, self.leave_at), "initial parameters")
        load_arrays(self.flat.model, initial)
        self.algorithm.start()

    # one round

    def step(self) -> None:
        if self.round and self.round % self.keep_each == 0:
            self.keep()
        elif not self.kept_near_the_end and self.leave_at - time.time() < NEAR_S:
            self.kept_near_the_end = True
            self.keep()
        began = time.monotonic()
        gives = self.round < self.rounds[self.rank]
        count = self.batches.round(self.here, self.asked.update_intv) if gives else 0
        losses = self.algorithm.work(self.batch, count)
        worked = time.monotonic()
        self.exchange.average(self.round, self.flat.sent_floats, gives, self.leave_at)
        self.algorithm.merged(sum(one > self.round for one in self.rounds))
        self.here = self.batches.after(self.here, count)
        self.round_s = max(0.9 * self.round_s, worked - began)
        self.tidy()
        self.round += 1
        loss, samples = means(losses)
        self.progress.round(self.round, count, samples, loss, worked - began)
        self.leave_results()
        self.progress.tell()

    def batch(self, number: int) -> tuple[float, int]:
        return self.learner.batch(self.batches.after(self.here, number))

    def tidy(self) -> None:
        """When all have given to the round of a checkpoint, all have kept that one: nobody needs what was before."""
        if self.round and self.round % self.keep_each == 0:
            self.exchange.forget(range(self.round - self.keep_each, self.round))

    def leave_results(self) -> None:
        """Worker 0 leaves the parameters for the course."""
        if self.rank:
            return
        if self.round in self.asked.scored:
            self.bucket.put(f"version-{self.round:08}.safetensors", self.parameters(self.algorithm.result()))
        if self.finished:
            self.bucket.put(FINAL, self.parameters(self.algorithm.result()))

    def parameters(self, trained: torch.Tensor) -> bytes:
        """The model's arrays by name, with `trained` as its trainable ones."""
        own = self.flat.parameters.clone()
        self.flat.parameters.copy_(trained)
        found = {name: one.detach().cpu().numpy().copy() for name, one in named_arrays(self.flat.model).items()}
        self.flat.parameters.copy_(own)
        return arrays.encode(found, {"version": str(self.round)})

    # the checkpoint

    @property
    def checkpoint_key(self) -> str:
        return f"checkpoint-{self.rank}.safetensors"

    def keep(self) -> None:
        vectors = {name: one.cpu().numpy() for name, one in self.algorithm.vectors().items()}
        model = np.frombuffer(self.flat.keep(), np.uint8)
        state = {"round": self.round, "here": self.here, "progress": self.progress.state()}
        self.bucket.put(self.checkpoint_key, arrays.encode({"model": model, **vectors}, {"state": json.dumps(state)}))

    def restore(self, content: bytes) -> None:
        found, metadata = arrays.decode(content, "checkpoint")
        self.flat.received[:] = found["model"].tobytes()
        self.flat.take_parameters()
        for name, vector in self.algorithm.vectors().items():
            vector.copy_(torch.from_numpy(found[name].copy()))
        state = json.loads(metadata["state"])
        self.round, self.here = int(state["round"]), Position(*state["here"])
        self.progress.restore(state["progress"])

    # what is told

    def result(self, late: str) -> dict[str, Any]:
        tally = self.progress.tally
        return {
            "code": 200,
            "finished": self.finished,
            "handed_back": not self.finished,
            "waits_for": late,
            "id": str(self.rank),
            "shard": self.rank,
            "round": self.round,
            "steps": tally.steps,
            "samples": tally.samples,
            "avg_loss": tally.losses / tally.steps if tally.steps else None,
            "seconds": self.progress.seconds,
            "compute_s": tally.compute_s,
            "communication_s": self.progress.communication_s,
            "wait_s": self.progress.wait_s,
            "requests": self.bucket.requests,
            "pid": os.getpid(),
        }
