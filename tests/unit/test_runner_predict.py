"""The student's model and prediction with it: names of faults, exact arrays, answers that are class ids."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from runner import predict, storage
from runner.device import choose_device
from runner.errors import DeviceError, FormatError, RunnerError, StudentError
from runner.model import StudentModel, load_arrays, load_student_model, named_arrays

LINEAR = "from torch import nn\ndef build_model():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
NORMED = LINEAR.replace("nn.Flatten()", "nn.BatchNorm2d(1), nn.Dropout(), nn.Flatten()")
Submit = Callable[..., StudentModel]


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Submit]:
    """Loads a submission of the given files; what it put on sys.path and into sys.modules goes again."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.setenv("RUNNER_CODE", str(tmp_path))

    def make(model: str, **files: str) -> StudentModel:
        for name, text in ({"model": model} | files).items():
            (tmp_path / f"{name}.py").write_text(text)
        return load_student_model()

    yield make
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def ask(monkeypatch: pytest.MonkeyPatch, inputs: bytes, parameters: bytes) -> tuple[Any, list[bytes]]:
    """Runs prediction on objects that are not in any store."""
    stored: list[bytes] = []
    objects = {"inputs": inputs, "parameters": parameters}
    monkeypatch.setattr(storage, "get", lambda url, what, **_: objects[what])
    monkeypatch.setattr(storage, "put", lambda url, what, content: stored.append(content))
    urls = {f"{name}_url": "http://store/x" for name in ("inputs", "parameters", "answer")}
    return predict.main({"task": "predict", **urls}), stored


def images(rows: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (rows, 28, 28), np.uint8)
    return save({"images": pixels}, {"mean": "0.1307", "std": "0.3081"})


def values(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: array.detach().numpy() for name, array in named_arrays(model).items()}


def test_prediction_answers_with_what_the_model_says_in_evaluation_mode(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = submit(NORMED).build(7)
    model(torch.randn(64, 1, 28, 28) * 3 + 1)  # gives BatchNorm running values of its own
    parameters = save(values(model))
    answer, stored = ask(monkeypatch, images(1203), parameters)
    assert answer == {"code": 200, "rows": 1203}
    classes = load(stored[0])["classes"]
    pixels = torch.from_numpy(load(images(1203))["images"]).float().unsqueeze(1) / 255
    with torch.inference_mode():
        expected = model.eval()((pixels - 0.1307) / 0.3081).argmax(dim=1)
    assert classes.dtype == np.int64
    assert (classes == expected.numpy()).mean() > 0.999
    assert capfd.readouterr() == ("", "")


def test_each_job_of_a_list_is_answered_with_its_own_parameters(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = submit(LINEAR).build()
    zeros = {name: np.zeros_like(array) for name, array in values(model).items()}
    objects = {"http://store/i": images(8)}
    for digit in (3, 7):
        bias = np.eye(10, dtype=np.float32)[digit]
        objects[f"http://store/p{digit}"] = save(zeros | {"1.bias": bias})
    monkeypatch.setattr(storage, "get", lambda url, what, **_: objects[url])
    monkeypatch.setattr(storage, "put", lambda url, what, content: objects.update({url: content}))
    jobs = [{"parameters_url": f"http://store/p{one}", "answer_url": f"http://store/a{one}"} for one in (3, 7)]

    assert predict.main({"inputs_url": "http://store/i", "jobs": jobs}) == {"code": 200, "rows": 8}
    for digit in (3, 7):
        assert load(objects[f"http://store/a{digit}"])["classes"].tolist() == [digit] * 8


def test_the_same_seed_builds_the_same_model_and_all_arrays_are_named(submit: Submit) -> None:
    student = submit(NORMED)
    first, second, other = values(student.build(1)), values(student.build(1)), values(student.build(2))
    assert set(first) == {
        "0.weight", "0.bias", "3.weight", "3.bias", "0.running_mean", "0.running_var", "0.num_batches_tracked",
    }  # fmt: skip
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["3.weight"], other["3.weight"])


def test_tied_parameters_are_one_array(submit: Submit) -> None:
    code = (
        "from torch import nn\n"
        "def build_model():\n"
        "    first, second = nn.Linear(4, 4), nn.Linear(4, 4)\n"
        "    second.weight = first.weight\n"
        "    return nn.Sequential(first, second)\n"
    )
    model = submit(code).build()
    assert set(named_arrays(model)) == {"0.weight", "0.bias", "1.bias"}
    load_arrays(model, {name: np.full_like(array, 2) for name, array in values(model).items()})
    assert float(model(torch.ones(1, 4))[0, 0]) == 2 * 4 * (2 * 4 + 2) + 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"1.bias": None}, r"missing \['1.bias'\]"),
        ({"more": np.ones(1, np.float32)}, r"unknown \['more'\]"),
        ({"1.bias": np.ones((10, 1), np.float32)}, r"1.bias is torch.float32 \[10, 1\]"),
        ({"1.bias": np.ones(10, np.float64)}, "1.bias is torch.float64"),
    ],
)
def test_parameters_that_are_not_the_models_are_refused(submit: Submit, change: dict[str, Any], reason: str) -> None:
    model = submit(LINEAR).build()
    arrays = {name: array for name, array in (values(model) | change).items() if array is not None}
    with pytest.raises(FormatError, match=reason):
        load_arrays(model, arrays)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def build_model(:", r"^model.py, line 1: SyntaxError"),
        ("x = 1", "there is no function build_model"),
        ("build_model = 3", "build_model is int, not a function"),
        ("def build_model():\n    return 3", "gave int, not a torch.nn.Module"),
        ("from torch import nn\ndef build_model():\n    return nn.ReLU()", "has no parameters"),
        ("def build_model():\n    raise KeyError('x')", "^model.py, line 2: KeyError: 'x'"),
        (
            "def build_model():\n    import missing_module",
            "line 2: ModuleNotFoundError: No module named 'missing_module'",
        ),
        ("import sys\nsys.exit()", "^model.py, line 2: SystemExit"),
        ("import helper\ndef build_model():\n    return helper.make()", "^helper.py, line 2: ZeroDivisionError"),
    ],
)
def test_a_fault_of_the_submission_has_file_line_and_reason(
    submit: Submit, code: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StudentError, match=reason) as caught:
        submit(code, helper="def make():\n    1 / 0").build()
    assert "\n" not in str(caught.value)
    if "line" in reason:
        assert "Traceback" in capfd.readouterr().err or "SyntaxError" in reason


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("def predict(model, images):\n    return images", "must give 3 whole numbers, one a row, not Tensor of shape"),
        ("def predict(model, images):\n    return [0.5] * len(images)", "must give 3 whole numbers"),
        ("def predict(model, images):\n    return [1]", "must give 3 whole numbers"),
        ("def predict(model, images):\n    return model.missing", "line 5: AttributeError"),
        ("def predict(model, images):\n    raise ValueError(images)", "line 5: ValueError: tensor"),
    ],
)
def test_predictions_that_are_none_are_named(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, more: str, reason: str
) -> None:
    parameters = save(values(submit(LINEAR + more).build()))
    with pytest.raises(RunnerError, match=reason) as caught:
        ask(monkeypatch, images(3), parameters)
    assert len(str(caught.value)) <= 500


def test_helpers_are_found_and_names_of_ours_hide_nothing(submit: Submit) -> None:
    hiding = "raise ImportError('hidden')"
    student = submit(f"import layers\nimport numpy\nimport runner\n{LINEAR}", layers="", numpy=hiding, runner=hiding)
    assert isinstance(student.build(), torch.nn.Module)
    assert sys.modules["runner"].__file__ == str(Path(predict.__file__).parent / "__init__.py")


def test_a_loss_must_be_one_number(submit: Submit) -> None:
    student = submit(f"{LINEAR}def loss(outputs, labels):\n    return outputs\n")
    with pytest.raises(StudentError, match=r"a tensor of one number, not Tensor of shape \[2, 10\]"):
        student.loss(torch.ones(2, 10), torch.ones(2))


def test_a_gpu_that_is_not_here_is_said_so() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match="must be `cpu` or `cuda`, not `tpu`"):
        choose_device("tpu")
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(DeviceError, match=r"has no CUDA|no GPU can be seen"):
        choose_device("cuda")
