"""Prediction: parameters are asked for their answers in fresh containers that reach just their own objects.

On the hidden rows, which make the grade, each set of parameters has a container to itself. The validation rows make
only plots, so all sets share one container there and with it its start; where that meets a limit each gets its own.

The student's code sees the inputs there, so logs, results and errors of these activations are staff's alone; a student
gets a reason from `PROBLEMS` (docs/design.md, decision 5).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pipeline.backends.functions import Action, Activation, Functions
from pipeline.backends.servers import ForwarderRequest, Servers
from pipeline.calling.failures import failure
from pipeline.embedded.contract import Service
from pipeline.errors import InfrastructureError, ThrottledError
from pipeline.kinds.train import TrainJob
from pipeline.listener import StageLog
from pipeline.run import Run
from pipeline.training.execution import HIDDEN, Memory, PredictionState

STORE_PORT = 9000
AT_ONCE = 2
POLL_S = 0.3
REQUESTS, BYTES, ANSWER_BYTES = 64, 512 * 2**20, 8 * 2**20
"""The most that one prediction may ask of the store, and the most that it may put there, all attempts together."""
ATTEMPTS = 2
THROTTLED_FOR_S = 600.0
LOST = "infrastructure"
PROBLEMS = {
    "memory": "prediction used more memory than its action has",
    "time": "prediction took longer than its action may",
    "failed": "the model failed while it predicted",
    LOST: "the prediction was lost",
}
Group = tuple[PredictionState, ...]


class Predictor:
    """Runs the predictions of one run, a few at once, and remembers which have ended."""

    def __init__(
        self, run: Run, memory: Memory, servers: Servers, template: Action, job: TrainJob, log: StageLog
    ) -> None:
        self.run = run
        self.memory = memory
        self.servers = servers
        self.functions: Functions = servers.functions()
        self.template = template
        self.job = job
        self.log = log
        self.until: dict[str, float] = {}
        self.not_before = 0.0
        self.throttled_since: float | None = None

    def predict(self) -> None:
        """Returns when each prediction has its answer or its problem.

        Raises InfrastructureError where one was lost; the next call makes that one again.
        """
        while groups := grouped(self.memory.state.predictions):
            for name in list(groups)[:AT_ONCE]:
                self.follow(name, groups[name])
            time.sleep(POLL_S)

    def follow(self, name: str, group: Group) -> None:
        activation = group[0].activation
        if activation is None or name not in self.until:
            if time.monotonic() >= self.not_before:
                self.invoke(name, group)
            return
        record = self.functions.activation(activation)
        if record is None and time.monotonic() < self.until[name]:
            return
        self.functions.delete_action(self.action_name(name))
        problem = LOST if record is None else problem_of(record)
        if problem == LOST:
            self.lost(name, group)
        elif problem in {"memory", "time"} and len(group) > 1:
            self.update(group, activation=None, alone=True)
        else:
            self.ended(group, problem)

    def lost(self, name: str, group: Group) -> None:
        self.update(group, activation=None)
        if group[0].attempts % ATTEMPTS == 0:
            raise InfrastructureError(f"{PROBLEMS[LOST]}: {name}", hint="`pipeline resume` makes it again")

    def ended(self, group: Group, problem: str) -> None:
        """Of a group that failed, those that have their answer keep it."""
        for one in group:
            answered = not problem or (len(group) > 1 and self.servers.course_bucket().exists(one.answer_key))
            self.memory.update_prediction(one.name, ended=True, problem="" if answered else problem)
            self.log(f"prediction with the {one.name} parameters: {'answered' if answered else PROBLEMS[problem]}")

    def update(self, group: Group, **changes: Any) -> None:
        for one in group:
            self.memory.update_prediction(one.name, **changes)

    def invoke(self, name: str, group: Group) -> None:
        """A new action each time: no container of an earlier prediction can be met again."""
        action = self.action_name(name)
        self.functions.put_action(replace(self.template, name=action))
        address = self.open_way(name, group, action)
        valid = timedelta(seconds=self.template.limits.timeout_s * 2 + 3600)

        def url(key: str, method: str = "GET") -> str:
            return self.servers.course_bucket().url(key, method=method, valid_for=valid, address=address)

        parameters = {
            "inputs_url": url(self.memory.state.input_keys[group[0].inputs]),
            "jobs": [
                {"parameters_url": url(one.parameters_key), "answer_url": url(one.answer_key, "PUT")} for one in group
            ],
            "device": self.job.device,
            "threads": self.job.threads,
        }
        try:
            activation = self.functions.invoke(action, parameters)
        except ThrottledError as error:
            self.hold(error)
            return
        self.throttled_since = None
        self.until[name] = time.monotonic() + self.template.limits.timeout_s * 2 + 120
        self.update(group, activation=activation, attempts=group[0].attempts + 1)

    def hold(self, error: ThrottledError) -> None:
        """Nothing is invoked for as long as the server asks. Raises the error where this has no end."""
        now = time.monotonic()
        self.throttled_since = self.throttled_since or now
        if now - self.throttled_since > THROTTLED_FOR_S:
            raise error
        self.not_before = now + error.wait_s

    def open_way(self, name: str, group: Group, action: str) -> str:
        """The forwarder that passes on exactly this group's objects; the address that the container uses."""
        bucket = self.servers.course_bucket().name
        objects = (
            ("GET", f"/{bucket}/{self.memory.state.input_keys[group[0].inputs]}"),
            *(("GET", f"/{bucket}/{one.parameters_key}") for one in group),
            *(("PUT", f"/{bucket}/{one.answer_key}") for one in group),
        )
        request = ForwarderRequest(
            f"predict-{name}",
            "course",
            objects,
            True,
            requests=REQUESTS * len(group),
            bytes_total=BYTES * len(group),
            bytes_sent=ANSWER_BYTES * len(group),
        )
        service = Service(name="store", socket=self.servers.open_forwarder(request), port=STORE_PORT)
        return self.servers.set_reach(action, [service])["store"]

    def action_name(self, name: str) -> str:
        return f"{self.template.name}-{name}"


def grouped(predictions: Sequence[PredictionState]) -> dict[str, Group]:
    """Those still to be made by the name of their group, hidden rows first, as they were planned."""
    groups: dict[str, Group] = {}
    for one in predictions:
        if not one.ended:
            groups[one.group] = (*groups.get(one.group, ()), one)
    return groups


def problem_of(record: Activation) -> str:
    """A key of PROBLEMS, or nothing when the prediction succeeded."""
    if record.success:
        return ""
    why = failure(record)
    if why.error is InfrastructureError:
        return LOST
    return why.limit if why.limit in PROBLEMS else "failed"


def planned(run: str, versions: Sequence[tuple[str, int, str]], inputs: Sequence[str]) -> tuple[PredictionState, ...]:
    """The predictions to make: hidden rows for initial and final parameters, validation rows for every version.

    `versions` are (name, version, key of the parameters).
    """
    wanted = [
        (name, version, key, rows)
        for rows in inputs
        for name, version, key in versions
        if rows != HIDDEN or name in {"initial", "final"}
    ]
    return tuple(
        PredictionState(
            name=f"{name}-{rows}",
            version=version,
            inputs=rows,
            parameters_key=key,
            answer_key=f"predict/{run}/answer-{name}-{rows}.safetensors",
        )
        for name, version, key, rows in wanted
    )
