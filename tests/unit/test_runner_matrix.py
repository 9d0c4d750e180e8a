"""The runner's side of matrices: the student's worker gets its blocks, its answer is stored, faults name the block."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from runner import matrix, storage
from runner.errors import ParameterError, StudentError

EXAMPLES = Path(__file__).resolve().parents[2] / "submissions_example"
Objects = dict[str, np.ndarray]
Submit = Callable[[str], None]


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Submit]:
    path = list(sys.path)
    monkeypatch.setenv("RUNNER_CODE", str(tmp_path))
    yield lambda text: (tmp_path / "matrix.py").write_text(text) and None
    sys.path[:] = path
    for name in [
        name for name, one in sys.modules.items() if str(getattr(one, "__file__", "")).startswith(str(tmp_path))
    ]:
        del sys.modules[name]


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Objects:
    """A store by the last part of the URL."""
    stored: Objects = {}
    monkeypatch.setattr(
        storage, "get", lambda url, what, **_: save({"block": np.ascontiguousarray(stored[url.split("/")[-1]])})
    )
    monkeypatch.setattr(
        storage, "put", lambda url, what, content: stored.update({url.split("/")[-1]: load(content)["block"]})
    )
    return stored


def asked(operation: str, blocks: list[str], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    urls = {name: f"http://store/{name.replace('/', '-')}" for name in blocks}
    results = [{"result_url": f"http://store/{one['row']}-{one['column']}", "reads": blocks} | one for one in tasks]
    return {"task": "matrix", "operation": operation, "blocks": urls, "tasks": results}


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def product(objects: Objects, rows: int = 2) -> dict[str, Any]:
    """Two blocks below one another, each of three products."""
    a, b = random(4 * rows, 6), random(6, 5)
    for k in range(3):
        objects |= {f"a-{i}-{k}": a[4 * i : 4 * i + 4, 2 * k : 2 * k + 2] for i in range(rows)}
        objects |= {f"b-{k}-0": b[2 * k : 2 * k + 2]}
    objects["expected"] = a @ b
    tasks: list[dict[str, Any]] = [
        {"row": i, "column": 0, "shape": [4, 5], "inner": 3}
        | {"reads": [*(f"a/{i}/{k}" for k in range(3)), *(f"b/{k}/0" for k in range(3))]}
        for i in range(rows)
    ]
    return asked(
        "multiply", [f"a/{i}/{k}" for i in range(rows) for k in range(3)] + [f"b/{k}/0" for k in range(3)], tasks
    )


def test_the_example_multiplies_as_numpy_does(submit: Submit, objects: Objects) -> None:
    submit((EXAMPLES / "matrix_multiply" / "matrix.py").read_text())
    answer = matrix.main(product(objects))
    assert (answer["code"], answer["blocks"], answer["left"]) == (200, 2, 0)
    np.testing.assert_allclose(np.vstack([objects["0-0"], objects["1-0"]]), objects["expected"], rtol=1e-5, atol=1e-6)


def test_the_example_convolves_and_pools_as_torch_does(submit: Submit, objects: Objects) -> None:
    submit((EXAMPLES / "convolution" / "matrix.py").read_text())
    objects |= {"image-2-1": random(14, 11), "kernel-0-0": random(3, 3)}
    matrix.main(asked("convolve", ["image/2/1", "kernel/0/0"], [{"row": 2, "column": 1, "shape": [6, 4], "pool": 2}]))
    image, kernel = (torch.from_numpy(objects[name])[None, None] for name in ("image-2-1", "kernel-0-0"))
    expected = torch.nn.functional.max_pool2d(torch.nn.functional.conv2d(image, kernel), 2)
    np.testing.assert_allclose(objects["2-1"], expected[0, 0].numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("return 1", "gave int; asked is a NumPy array of float32, shape [4, 5]", id="no array"),
        pytest.param("return numpy.zeros((5, 4), 'f')", "array of float32, shape [5, 4]", id="shape"),
        pytest.param("return numpy.zeros((4, 5))", "array of float64", id="dtype"),
        pytest.param("return blocks['a', 7, 7]", "this task has no block ('a', 7, 7)", id="a block it has not"),
        pytest.param("raise ValueError('no')", "matrix.py, line 3: ValueError: no", id="an exception"),
    ],
)
def test_a_wrong_answer_names_the_block(text: str, words: str, submit: Submit, objects: Objects) -> None:
    submit(f"import numpy\ndef worker(task, blocks):\n    {text}\n")
    with pytest.raises(StudentError) as raised:
        matrix.main(product(objects))
    assert str(raised.value).startswith("block (0, 0): ")
    assert words in str(raised.value)
    assert "0-0" not in objects


def test_a_file_without_the_function_is_told(submit: Submit, objects: Objects) -> None:
    submit("x = 1\n")
    with pytest.raises(StudentError, match=r"no function worker\(task, blocks\)"):
        matrix.main(product(objects))


def test_it_hands_back_before_its_time_is_up_with_one_block_at_least(
    submit: Submit, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("__OW_DEADLINE", str(int(1000 * (time.time() + 0.5))))
    submit("import numpy\ndef worker(task, blocks):\n    return numpy.zeros((4, 5), 'f')\n")
    answer = matrix.main(product(objects))
    assert (answer["blocks"], answer["left"]) == (1, 1)
    assert "0-0" in objects
    assert "1-0" not in objects


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "divide"},
        {"blocks": []},
        {"tasks": "all"},
        {"tasks": [{"row": 0}]},
        {"blocks": {"a/0/0": "ftp://elsewhere"}},
    ],
)
def test_parameters_that_are_wrong_are_named(change: dict[str, Any], objects: Objects) -> None:
    with pytest.raises(ParameterError, match=r"Wrong|No argument"):
        matrix.main(product(objects) | change)
