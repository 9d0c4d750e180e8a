"""Inference: the URL of a PNG in, a class out. The model is loaded once, at the first call in this container.

What a submission's main.py defines:

def load_model() -> anything                # once; what it gives is handed to predict
def predict(model, pixels) -> int           # pixels: uint8 [height, width], 0 black, 255 white
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner import fetching, png
from runner.errors import StudentError
from runner.parameters import Reader
from runner.student import code_folder, load_file, student_code

ENTRY = "main.py"
LARGEST = 2**53
"""The largest whole number that every reader of JSON keeps exactly."""


@dataclass(frozen=True)
class Inference:
    """A loaded model and the student's function that asks it."""

    model: Any
    function: Callable[[Any, NDArray[np.uint8]], Any]

    def predict(self, pixels: NDArray[np.uint8]) -> int:
        """Raises StudentError for what the function raises, and for an answer that is no whole number."""
        with student_code(f"{ENTRY}, predict"):
            answer = self.function(self.model, pixels)
            try:
                number = None if isinstance(answer, bool | np.bool_) else operator.index(answer)
            except TypeError:
                number = None
        if number is None or abs(number) > LARGEST:
            what = type(answer).__name__ if number is None else "a number that is too large"
            raise StudentError(f"{ENTRY}: predict() must give a whole number, such as int(scores.argmax()), not {what}")
        return number


_loaded: list[Inference] = []


def main(params: dict[str, Any]) -> dict[str, Any]:
    """Answers `{"code": 200, "res": class}`. Raises RunnerError that names the fault."""
    read = Reader(params)
    url = read.url("url")
    read.finish()
    inference = loaded()
    pixels = png.decode(fetching.fetch(url))
    return {"code": 200, "res": inference.predict(pixels)}


def loaded() -> Inference:
    """The model of this container; what fails to load is tried again at the next call. Raises StudentError."""
    if not _loaded:
        module = load_file(code_folder() / ENTRY)
        load_model, predict = (_defined(module, name) for name in ("load_model", "predict"))
        with student_code(f"{ENTRY}, load_model"):
            model = load_model()
        _loaded.append(Inference(model, predict))
    return _loaded[0]


def _defined(module: ModuleType, name: str) -> Callable[..., Any]:
    function: Any = getattr(module, name, None)
    if not callable(function):
        raise StudentError(f"{ENTRY}: there is no function {name}()")
    found: Callable[..., Any] = function
    return found
