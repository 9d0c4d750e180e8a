"""Who predicts with whom, what each container reaches, and what becomes of predictions that fail or are lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from pipeline.backends.functions import Action, ActionLimits, Activation
from pipeline.backends.servers import ForwarderRequest
from pipeline.embedded.contract import Service
from pipeline.errors import InfrastructureError, LimitError, ThrottledError
from pipeline.kinds.train import TrainJob
from pipeline.training import prediction
from pipeline.training.evaluation import AnswerError, read_answer
from pipeline.training.execution import Memory, PredictionState
from pipeline.training.prediction import Predictor, planned

VERSIONS = [("initial", 0, "t/initial"), ("checkpoint-5", 5, "t/v5"), ("final", 9, "t/final")]
INPUTS = {"hidden": "in/hidden", "validation": "in/validation"}


class Bucket:
    name = "course"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def url(self, key: str, **_: Any) -> str:
        return f"http://store/{key}"

    def exists(self, key: str) -> bool:
        return key in self.objects

    def get(self, key: str, *, at_most: int) -> bytes:
        content = self.objects[key]
        if len(content) > at_most:
            raise LimitError("too large")
        return content


class Servers:
    """Servers and OpenWhisk in one: each action ends as `ends` says, by its name's last part."""

    def __init__(self, ends: Mapping[str, list[Activation | None]]) -> None:
        self.ends = {name: list(each) for name, each in ends.items()}
        self.bucket = Bucket()
        self.invoked: list[tuple[str, Any]] = []
        self.forwarders: dict[str, ForwarderRequest] = {}
        self.deleted: list[str] = []
        self.records: dict[str, Activation | None] = {}

    def functions(self) -> Any:
        return self

    def course_bucket(self) -> Any:
        return self.bucket

    def open_forwarder(self, request: ForwarderRequest) -> Path:
        self.forwarders[request.name] = request
        return Path("/socket")

    def set_reach(self, action: str, services: Sequence[Service]) -> dict[str, str]:
        return {one.name: "127.0.0.1:9000" for one in services}

    def put_action(self, action: Action) -> None: ...

    def delete_action(self, name: str) -> None:
        self.deleted.append(name)

    def invoke(self, name: str, parameters: Mapping[str, Any]) -> str:
        self.invoked.append((name, parameters))
        activation = f"{len(self.invoked):032x}"
        ends = self.ends.get(name.removeprefix("run-predict-"), [])
        self.records[activation] = ends.pop(0) if ends else ended()
        return activation

    def activation(self, activation_id: str) -> Activation | None:
        return self.records[activation_id]


def ended(status: str = "success", error: str = "") -> Activation:
    return Activation(
        id="0" * 32,
        action="a",
        size_bytes=0,
        success=status == "success",
        status=status,
        result={"error": error} if error else {"code": 200},
        start=0.0,
        end=1.0,
        init_s=None,
        wait_s=0.0,
        timed_out=False,
    )


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    memory = Memory(SimpleNamespace(execution_file=tmp_path / "execution.json"))  # type: ignore[arg-type]
    memory.update(input_keys=INPUTS, predictions=planned("r", VERSIONS, tuple(INPUTS)))
    return memory


def predict(memory: Memory, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The problem of each prediction, by name."""
    monkeypatch.setattr(prediction, "POLL_S", 0.0)
    template = Action("run-predict", "image", ActionLimits(memory_mb=512, timeout_s=60, logs_mb=10), {})
    job = TrainJob(kind="train")
    Predictor(memory.run, memory, servers, template, job, lambda _: None).predict()  # type: ignore[arg-type]
    assert all(one.ended for one in memory.state.predictions)
    return {one.name: one.problem for one in memory.state.predictions}


def test_each_set_of_parameters_has_a_container_to_itself_on_the_hidden_rows(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Servers({})
    assert set(predict(memory, servers, monkeypatch).values()) == {""}

    names = [name for name, _ in servers.invoked]
    assert names == ["run-predict-initial-hidden", "run-predict-final-hidden", "run-predict-validation"]
    assert [len(parameters["jobs"]) for _, parameters in servers.invoked] == [1, 1, 3]
    assert sorted(servers.deleted) == sorted(names)


def test_a_container_reaches_its_own_objects_only(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers({})
    predict(memory, servers, monkeypatch)

    hidden, together = servers.forwarders["predict-final-hidden"], servers.forwarders["predict-validation"]
    assert hidden.exact
    assert set(hidden.allowed) == {
        ("GET", "/course/in/hidden"),
        ("GET", "/course/t/final"),
        ("PUT", "/course/predict/r/answer-final-hidden.safetensors"),
    }
    assert not any("hidden" in path for _, path in together.allowed)
    assert hidden.bytes_sent < 16 * 2**20


def test_a_model_that_fails_on_one_set_keeps_the_answers_before(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Servers({"validation": [ended("application error", "model.py, line 3: ValueError")]})
    servers.bucket.objects["predict/r/answer-initial-validation.safetensors"] = b"answer"

    problems = predict(memory, servers, monkeypatch)

    assert problems["initial-validation"] == problems["final-hidden"] == ""
    assert problems["checkpoint-5-validation"] == problems["final-validation"] == "failed"


@pytest.mark.parametrize(
    "end",
    [
        ended("developer error", "The action exceeded its time limits of 60000 milliseconds."),
        ended("developer error", "The action exhausted its memory and was aborted."),
    ],
)
def test_sets_that_take_too_much_together_are_tried_alone(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, end: Activation
) -> None:
    servers = Servers({"validation": [end]})

    assert set(predict(memory, servers, monkeypatch).values()) == {""}
    assert [len(parameters["jobs"]) for _, parameters in servers.invoked] == [1, 1, 3, 1, 1, 1]


def test_a_prediction_that_openwhisk_takes_no_more_of_comes_later(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Servers({})
    refused = iter(range(3))

    def invoke(name: str, parameters: Mapping[str, Any]) -> str:
        if next(refused, None) is not None:
            raise ThrottledError("Too many requests in the last minute (count: 61, allowed: 60).", wait_s=0.01)
        return Servers.invoke(servers, name, parameters)

    servers.invoke = invoke  # type: ignore[method-assign]
    assert set(predict(memory, servers, monkeypatch).values()) == {""}
    assert {one.attempts for one in memory.state.predictions} == {1}, "being refused is no attempt"

    monkeypatch.setattr(prediction, "THROTTLED_FOR_S", 0.02)
    refused = iter(range(10_000))
    memory.update(predictions=planned("r", VERSIONS, tuple(INPUTS)))
    with pytest.raises(InfrastructureError, match="last minute"):
        predict(memory, servers, monkeypatch)


@pytest.mark.parametrize(
    "end",
    [
        ended("whisk internal error", "gone"),
        ended("application error", "infrastructure: parameters: GET failed 5 times"),
        ended("developer error", "The action did not initialize and exited unexpectedly."),
    ],
)
def test_a_lost_prediction_is_made_again_and_by_resume_once_more(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, end: Activation
) -> None:
    servers = Servers({"initial-hidden": [end, end]})
    with pytest.raises(InfrastructureError, match="the prediction was lost: initial-hidden"):
        predict(memory, servers, monkeypatch)

    resumed = Memory(memory.run)
    assert predict(resumed, servers, monkeypatch)["initial-hidden"] == ""


def answer(content: bytes | None) -> Any:
    bucket, state = (
        Bucket(),
        PredictionState(name="final-hidden", version=1, inputs="hidden", parameters_key="p", answer_key="a"),
    )
    if content is not None:
        bucket.objects["a"] = content
    return read_answer(bucket, state, 4)  # type: ignore[arg-type]


def of_dtype(code: str, size: int) -> bytes:
    header = json.dumps({"classes": {"dtype": code, "shape": [4], "data_offsets": [0, 4 * size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * size)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "left no answer"),
        (b"", "not in the form"),
        (b"\xff" * 200, "not in the form"),
        (b"x" * 2**20, "larger than"),
        (of_dtype("BF16", 2), "not in the form"),
        (of_dtype("F64", 8), "not 4 class ids"),
        (save({"classes": np.full(4, np.nan, np.float32)}), "not 4 class ids"),
        (save({"classes": np.zeros(3, np.int64)}), "not 4 class ids"),
        (save({"classes": np.zeros((4, 1), np.int64)}), "not 4 class ids"),
        (save({"answers": np.zeros(4, np.int64)}), "not 4 class ids"),
    ],
)
def test_an_answer_of_another_form_has_a_reason(content: bytes | None, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        answer(content)


def test_class_ids_are_read() -> None:
    assert answer(save({"classes": np.arange(4)})).tolist() == [0, 1, 2, 3]
