"""What a worker without a server tells of itself: one small object, replaced about once a second."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from runner.bucket import Bucket
from runner.tally import Tally

TELL_S = 1.0
LOG_S = 5.0
POINTS = 400


class Progress:
    """Counts over all activations of a worker: what came before lies in its checkpoint. Times in seconds.

    Losses are kept for every round, then every second, fourth, ...: the same ones in each worker.
    """

    def __init__(self, bucket: Bucket, rank: int, rounds: int) -> None:
        self.bucket = bucket
        self.rank = rank
        self.stride = 1
        while rounds // self.stride > POINTS:
            self.stride *= 2
        self.tally = Tally()
        self.round_number = 0
        self.points: list[tuple[int, float, float]] = []
        self.loss: float | None = None
        self.begun = self.told = self.logged = time.monotonic()
        self.before = self.at_checkpoint()

    def at_checkpoint(self) -> dict[str, float]:
        return dict.fromkeys(("seconds", "communication_s", "wait_s", "sent", "received", "requests"), 0.0)

    @property
    def seconds(self) -> float:
        return self.before["seconds"] + time.monotonic() - self.begun

    @property
    def communication_s(self) -> float:
        return self.before["communication_s"] + self.bucket.busy_s

    @property
    def wait_s(self) -> float:
        return self.before["wait_s"] + self.bucket.wait_s

    def round(self, number: int, steps: int, samples: int, losses: float, compute_s: float) -> None:
        """After round `number`, from 1, with the sum of its batches' losses."""
        self.round_number = number
        tally = self.tally
        tally.steps += steps
        tally.samples += samples
        tally.losses += losses
        tally.compute_s += compute_s
        if not steps:
            return
        self.loss = losses / steps
        if number % self.stride == 0:
            self.points.append((number, round(self.seconds, 3), self.loss))

    def tell(self, *, finished: bool = False, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self.told < TELL_S:
            return
        self.told = now
        told = self.state() | {
            "activation": os.environ.get("__OW_ACTIVATION_ID", ""),
            "finished": finished,
            "loss": self.loss,
        }
        self.bucket.put(f"progress-{self.rank}.json", json.dumps(told).encode())
        if force or now - self.logged > LOG_S:
            self.logged = now
            loss = "" if self.loss is None else f", loss {self.loss:.4f}"
            print(
                f"Worker {self.rank}: training step {self.tally.steps} done (round {self.round_number}){loss}",
                flush=True,
            )

    def state(self) -> dict[str, Any]:
        """All that a checkpoint keeps."""
        return {
            "round": self.round_number,
            "steps": self.tally.steps,
            "samples": self.tally.samples,
            "losses": self.tally.losses,
            "compute_s": self.tally.compute_s,
            "points": self.points,
            "seconds": self.seconds,
            "communication_s": self.communication_s,
            "wait_s": self.wait_s,
            "sent": self.before["sent"] + self.bucket.sent,
            "received": self.before["received"] + self.bucket.received,
            "requests": self.before["requests"] + self.bucket.requests,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.round_number = int(state["round"])
        self.tally = Tally(
            int(state["steps"]), int(state["samples"]), float(state["losses"]), float(state["compute_s"])
        )
        self.points = [(int(number), float(at), float(loss)) for number, at, loss in state["points"]]
        self.before = {name: float(state[name]) for name in self.before}
