"""Prediction: each set of parameters is asked for its answers in a fresh container that reaches just its own objects.

The student's code sees the inputs there, so logs, results and errors of these activations are staff's alone; a student
gets a reason from `PROBLEMS` (docs/design.md, decision 5).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from pipeline.backends.functions import Action, Activation, Functions
from pipeline.backends.servers import ForwarderRequest, Servers
from pipeline.embedded.contract import Service
from pipeline.listener import StageLog
from pipeline.run import Run
from pipeline.settings import TrainJob
from pipeline.training.execution import Memory, PredictionState

STORE_PORT = 9000
AT_ONCE = 2
POLL_S = 0.1
INPUTS_LIMIT = 256 * 2**20
PROBLEMS = {
    "memory": "prediction used more memory than its action has",
    "time": "prediction took longer than its action may",
    "failed": "the model failed while it predicted",
    "infrastructure": "the prediction was lost",
}


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

    def predict(self) -> None:
        """Returns when each prediction has its answer or its problem."""
        while waiting := [one for one in self.memory.state.predictions if not one.ended]:
            for one in waiting[:AT_ONCE]:
                self.follow(one)
            time.sleep(POLL_S)

    def follow(self, one: PredictionState) -> None:
        if one.activation is None or one.name not in self.until:
            self.invoke(one)
            return
        record = self.functions.activation(one.activation)
        if record is None and time.monotonic() < self.until[one.name]:
            return
        self.functions.delete_action(self.action_name(one))
        problem = "infrastructure" if record is None else problem_of(record)
        if problem == "infrastructure" and one.attempts < 2:
            self.memory.update_prediction(one.name, activation=None)
            return
        self.memory.update_prediction(one.name, ended=True, problem=problem)
        self.log(f"prediction with the {one.name} parameters: {PROBLEMS.get(problem, 'answered')}")

    def invoke(self, one: PredictionState) -> None:
        """A new action each time: no container of an earlier prediction can be met again."""
        name = self.action_name(one)
        self.functions.put_action(Action(name, self.template.image, self.template.limits, self.template.parameters))
        inputs, address = self.memory.state.input_keys[one.inputs], self.open_way(one, name)
        bucket = self.servers.course_bucket()
        valid = timedelta(seconds=self.template.limits.timeout_s * 2 + 3600)
        parameters = {
            "inputs_url": bucket.url(inputs, valid_for=valid, address=address),
            "parameters_url": bucket.url(one.parameters_key, valid_for=valid, address=address),
            "answer_url": bucket.url(one.answer_key, method="PUT", valid_for=valid, address=address),
            "device": self.job.device,
            "threads": self.job.threads,
        }
        activation = self.functions.invoke(name, parameters)
        self.until[one.name] = time.monotonic() + self.template.limits.timeout_s * 2 + 120
        self.memory.update_prediction(one.name, activation=activation, attempts=one.attempts + 1)

    def open_way(self, one: PredictionState, action: str) -> str:
        """The forwarder that passes on exactly this prediction's three objects; the address that the container uses."""
        bucket = self.servers.course_bucket().name
        objects = (
            ("GET", f"/{bucket}/{self.memory.state.input_keys[one.inputs]}"),
            ("GET", f"/{bucket}/{one.parameters_key}"),
            ("PUT", f"/{bucket}/{one.answer_key}"),
        )
        request = ForwarderRequest(
            f"predict-{one.name}", "course", objects, True, requests=64, bytes_total=INPUTS_LIMIT
        )
        service = Service(name="store", socket=self.servers.open_forwarder(request), port=STORE_PORT)
        return self.servers.set_reach(action, [service])["store"]

    def action_name(self, one: PredictionState) -> str:
        return f"{self.template.name}-{one.name}"


def problem_of(record: Activation) -> str:
    """A key of PROBLEMS, or nothing when the prediction succeeded."""
    if record.success:
        return ""
    said = record.result.get("error") if isinstance(record.result, dict) else ""
    if "exhausted its memory" in str(said):
        return "memory"
    if record.timed_out or "exceeded its time limits" in str(said):
        return "time"
    return "infrastructure" if record.status == "whisk internal error" else "failed"


def planned(run: str, versions: Sequence[tuple[str, int, str]], inputs: Sequence[str]) -> tuple[PredictionState, ...]:
    """The predictions to make: hidden rows for initial and final parameters, validation rows for every version.

    `versions` are (name, version, key of the parameters).
    """
    wanted = [
        (name, version, key, rows)
        for rows in inputs
        for name, version, key in versions
        if rows != "hidden" or name in {"initial", "final"}
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
