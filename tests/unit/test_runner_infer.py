"""Inference by hand, without the pipeline: `curl -d '{"value": {"url": ...}}'` to the runner."""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.png import grey_png
from runner import action, infer
from runner.logs import Logs

# answers the brightest column, and what a picture asks for by its first pixel
SUBMISSION = """
import numpy as np

LOADED = []

def load_model():
    LOADED.append(1)
    return "model"

def predict(model, pixels):
    assert model == "model" and pixels.dtype == np.uint8 and pixels.shape == (28, 28) and len(LOADED) == 1
    match pixels[0, 0]:
        case 1: raise ValueError("no such digit")
        case 2: return "x" * 2_000_000
        case 3: return 10**30
        case 4: return True
        case 5: return pixels.sum(0).astype(float)
    return pixels.sum(0).argmax()
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The course's file server: label0.png to label9.png, and pictures that make the submission fail."""
    folder = tmp_path_factory.mktemp("files")
    for digit in range(10):
        pixels = np.zeros((28, 28), np.uint8)
        pixels[10:, digit] = 200
        (folder / f"label{digit}.png").write_bytes(grey_png(pixels))
        pixels[0, 0] = digit
        (folder / f"asks{digit}.png").write_bytes(grey_png(pixels))
    (folder / "page.html").write_text("<html>")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What /run answers for parameters, as JSON."""
    (tmp_path / "main.py").write_text(SUBMISSION)
    monkeypatch.setenv("RUNNER_CODE", str(tmp_path))
    monkeypatch.setattr(infer, "_loaded", [])
    path, modules = list(sys.path), set(sys.modules)
    there = action.Action(Logs())
    threading.Thread(target=there.serve, daemon=True).start()
    yield lambda **value: json.loads(there.answer("/run", {"value": value}).body)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_ten_digits_are_named_and_the_model_is_loaded_once(ask: Any, files: str) -> None:
    answers = [ask(url=f"{files}/label{digit}.png") for digit in range(10)]
    assert answers == [{"code": 200, "res": digit} for digit in range(10)]


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("asks1.png", 500, "main.py, line 13: ValueError: no such digit"),
        ("asks2.png", 500, "predict() must give a whole number, such as int(scores.argmax()), not str"),
        ("asks3.png", 500, "not a number that is too large"),
        ("asks4.png", 500, "not bool"),
        ("asks5.png", 500, "not ndarray"),
        ("page.html", 400, "image: it is no PNG but HTML or XML"),
        ("nothing.png", 400, "/nothing.png: the server answered 404: it is not there"),
    ],
)
def test_what_goes_wrong_is_named(ask: Any, files: str, name: str, code: int, says: str) -> None:
    answer = ask(url=f"{files}/{name}")
    assert answer["code"] == code and says in answer["error"] and len(answer["error"]) < 400


def test_parameters_are_named_in_the_words_of_the_course(ask: Any) -> None:
    assert ask(task="infer")["error"] == "No argument: url must be given"
    for wrong in ("ftp://127.0.0.1/x.png", "file:///etc/passwd", "label0.png"):
        assert ask(url=wrong)["error"].startswith("Wrong parameters: url must be an http or https URL")


def test_no_torch_is_imported_for_it() -> None:
    """It would be most of a cold start."""
    code = "import sys, runner.infer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
