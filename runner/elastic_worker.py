"""Asynchronous EASGD (1412.6651) by the parameter server, which holds the centre.

A worker keeps a model of its own, takes `update_intv` local steps, fetches the centre and lets it draw the model; the
difference goes to the server as a gradient, where a rate of the same force moves the centre the other way.
"""

from __future__ import annotations

from typing import Any

from runner.algorithms import local_steps, means
from runner.steps import stepper
from runner.worker import Worker


class ElasticWorker(Worker):
    """A worker that comes after a lost one, or after itself, begins at the centre."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.stepper = stepper("sgd", self.flat.parameters, self.asked.learning_rate, self.asked.momentum)
        self.own = self.flat.parameters.clone()
        self.apart = False

    def register(self) -> None:
        self.apart = False
        super().register()

    def work(self, count: int) -> tuple[float, int]:
        if self.apart:
            self.flat.parameters.copy_(self.own)
        return means(local_steps(self.flat, self.stepper, self.batch, count))

    def body(self) -> memoryview:
        self.own.copy_(self.flat.parameters)
        self.apart = True
        self.flat.write_others(self.flat.sent)
        self.pull(max(0, self.version))
        self.flat.gradient.copy_(self.flat.parameters).sub_(self.own)
        self.own.add_(self.flat.gradient, alpha=self.asked.force)
        return self.flat.give_trainable()
