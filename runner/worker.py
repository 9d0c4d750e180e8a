"""The training worker: pulls parameters, computes gradients on its shard, pushes them. No optimiser lives here.

curl -d '{"value": {"batch_sz_train": 32, "epoch_n": 8, "apihost": "http://127.0.0.1:29500", "update_intv": 8,
"dataset_url": "http://127.0.0.1:8000/shard.safetensors", "device": "cpu"}}' http://127.0.0.1:8080/run
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import torch

from runner import dataset
from runner.algorithms import GradientAveraging, means
from runner.batches import Batches, Position
from runner.client import Client, Reply, ServerError
from runner.deadline import deadline
from runner.device import choose_device
from runner.errors import FormatError
from runner.flat_model import FlatModel
from runner.learning import Learner
from runner.model import StudentModel, load_student_model
from runner.parameters import TrainParameters
from runner.steps import stepper
from runner.tally import Tally

POLL_S = 20.0
LOG_S = 5.0
RESYNCS = 10
AGAIN = {"session", "sequence", "position", "version"}


def main(params: Mapping[str, Any], made: type[Worker] | None = None) -> dict[str, Any]:
    """Trains until the shard is finished or the deadline is near. Raises RunnerError."""
    asked = TrainParameters.parse(params)
    torch.set_num_threads(asked.threads)
    device = choose_device(asked.device)
    student = load_student_model()
    rows = dataset.fetch(asked.dataset_url)
    flat = FlatModel(student.build(asked.seed), device)
    client = Client(asked.apihost, asked.token)
    try:
        return (made or Worker)(asked, student, rows, flat, client).train()
    finally:
        client.close()


class Worker:
    def __init__(
        self, asked: TrainParameters, student: StudentModel, rows: dataset.Dataset, flat: FlatModel, client: Client
    ) -> None:
        self.asked = asked
        self.student = student
        self.rows = rows
        self.flat = flat
        self.client = client
        self.algorithm = GradientAveraging(flat, stepper("sgd", flat.parameters, 0.0, 0.0))
        self.tally = Tally()
        self.leave_at = deadline() - asked.margin_s
        self.begun = self.logged = self.heard = time.monotonic()
        self.round_s = self.told_s = 0.0
        self.id = asked.id
        self.finished = False
        self.global_step = 0

    def train(self) -> dict[str, Any]:
        self.register()
        resyncs = 0
        while not (self.finished or self.must_leave()):
            try:
                if self.wait_for is None:
                    self.round()
                else:
                    self.pull(self.wait_for)
                resyncs = 0
            except ServerError as error:
                if error.reason == "finished":
                    self.finished = True
                elif error.reason not in AGAIN or (resyncs := resyncs + 1) > RESYNCS:
                    raise
                else:
                    self.register()
        self.leave()
        return self.result()

    # the server's side of the conversation

    def register(self) -> None:
        """Takes a place, or it again after the server has forgotten this worker; goes on where the shard stands."""
        began = time.monotonic()
        asked = {"id": self.id, "description": f"pid {os.getpid()}", "shard": self.asked.shard}
        answer = self.client.register(asked | {"session": self.client.identity.get("Worker-Session", "")})
        self.id, self.finished = str(answer["id"]), bool(answer["finished"])
        self.lease_s, self.sequence = float(answer["lease_s"]), int(answer["sequence"])
        self.here = Position(int(answer["epoch"]), int(answer["step"]))
        self.local_step = int(answer["steps"])
        self.version = -1
        self.wait_for: int | None = None
        asked_for = self.asked
        self.batches = Batches(
            len(self.rows),
            asked_for.batch_sz_train,
            asked_for.epoch_n,
            asked_for.max_steps,
            asked_for.seed,
            int(answer["shard"]),
        )
        self.learner = Learner(self.student, self.rows, self.flat, self.batches)
        if answer["parameters_wanted"]:
            self.client.upload(self.flat.schema_json(), self.flat.received)
        elif answer["schema_sha256"] != self.flat.schema_sha256:
            raise FormatError("the model's arrays are not those that this run was started with; start a new run")
        self.tally.exchanged(time.monotonic() - began, 0.0)
        self.finished = self.finished or self.batches.is_last(self.here)
        if not self.finished:
            self.pull(int(answer["min_version"]))

    def pull(self, min_version: int) -> None:
        began = time.monotonic()
        reply = self.client.pull(memoryview(self.flat.received), min_version=min_version, timeout_s=self.patience())
        self.take(reply, time.monotonic() - began)

    def take(self, reply: Reply, seconds: float) -> None:
        """Uses what an answer brought."""
        self.tally.exchanged(seconds, reply.waited_s)
        self.heard = time.monotonic()
        self.global_step = reply.global_step
        self.wait_for = reply.wait_for
        self.finished = self.finished or reply.finished
        if reply.fresh:
            self.version = reply.version
            self.flat.take_parameters()

    def patience(self) -> float:
        """How long the server may hold back an answer."""
        return max(0.0, min(POLL_S, self.leave_at - time.time()))

    def must_leave(self) -> bool:
        """Whether another round would come too near to the deadline."""
        return time.time() + self.round_s > self.leave_at

    def leave(self) -> None:
        """Gives the place back; the lease does it where the server has gone already."""
        try:
            self.client.unregister(returning=not self.finished)
        except ServerError as error:
            print(f"Worker {self.id}: left without unregistering: {error}", flush=True)

    # the gradient

    def round(self) -> None:
        """One gradient: the mean of up to `update_intv` batches of one epoch, sent with what names it."""
        began = time.monotonic()
        here, count = self.here, self.batches.round(self.here, self.asked.update_intv)
        loss, samples = self.work(count)
        body = self.body()
        computed = time.monotonic()
        following = self.batches.after(here, count)
        last = self.batches.is_last(following)
        headers = self.name_gradient(here, following, count, samples, loss / count, computed - began)
        if last:
            headers["Last"] = "1"
        into = memoryview(self.flat.received)
        reply = self.client.push(body, headers, into, timeout_s=0.0 if last else self.patience())
        ended = time.monotonic()
        self.sequence, self.here, self.local_step = self.sequence + 1, following, self.local_step + count
        self.tally.steps += count
        self.tally.samples += samples
        self.tally.losses += loss
        self.tally.compute_s += computed - began
        self.round_s = max(0.9 * self.round_s, computed - began)
        self.finished = last
        self.take(reply, ended - computed)
        self.log()

    def work(self, count: int) -> tuple[float, int]:
        """The sum of `count` batches' losses, and their samples."""
        return means(self.algorithm.work(self.batch, count))

    def batch(self, number: int) -> tuple[float, int]:
        found = self.learner.batch(self.batches.after(self.here, number))
        self.stay_registered()
        return found

    def body(self) -> memoryview:
        """What is pushed."""
        return memoryview(self.flat.sent)

    def name_gradient(
        self, here: Position, following: Position, batches: int, samples: int, loss: float, compute_s: float
    ) -> dict[str, str]:
        """The headers of a push. `Communication-Seconds` is that of the exchanges since the last one."""
        told, self.told_s = self.told_s, self.tally.communication_s
        return {
            "Base-Version": str(self.version),
            "Sequence": str(self.sequence + 1),
            "Position": str(here),
            "Next-Position": str(following),
            "Batches": str(batches),
            "Samples": str(samples),
            "Loss": repr(loss),
            "Compute-Seconds": f"{compute_s:.6f}",
            "Communication-Seconds": f"{self.told_s - told:.6f}",
        }

    def stay_registered(self) -> None:
        if time.monotonic() - self.heard > self.lease_s / 3:
            self.client.renew()
            self.heard = time.monotonic()

    # what is told

    def log(self) -> None:
        now = time.monotonic()
        if self.finished or self.here.step == 0 or now - self.logged > LOG_S:
            self.logged = now
            loss = self.tally.losses / max(1, self.tally.steps)
            print(
                f"Worker {self.id}: training step {self.local_step} done (global step: {self.global_step}), "
                f"mean loss {loss:.4f}",
                flush=True,
            )

    def result(self) -> dict[str, Any]:
        seconds, tally = time.monotonic() - self.begun, self.tally
        print(f"Worker {self.id}: Training elapsed time: {seconds:.1f} s", flush=True)
        return {
            "code": 200,
            "avg_loss": tally.losses / tally.steps if tally.steps else None,
            "finished": self.finished,
            "id": self.id,
            "shard": self.batches.shard,
            "steps": tally.steps,
            "samples": tally.samples,
            "epoch": self.here.epoch,
            "step": self.here.step,
            "version": self.version,
            "global_step": self.global_step,
            "seconds": seconds,
            "compute_s": tally.compute_s,
            "communication_s": tally.communication_s,
            "wait_s": tally.wait_s,
        }
