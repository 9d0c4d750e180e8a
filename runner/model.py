"""A student's model: `build_model()`, and where they are there `loss`, `augment` and `predict`.

def build_model() -> torch.nn.Module
def loss(outputs, labels) -> torch.Tensor          # a scalar; default: cross entropy
def augment(images) -> torch.Tensor                # training only; default: nothing
def predict(model, images) -> class ids            # one a row; default: argmax of the outputs
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from runner.errors import FormatError, StudentError
from runner.student import code_folder, load_file, student_code

ENTRY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.py")


@dataclass(frozen=True)
class StudentModel:
    """The functions of the student's entry file. Each raises StudentError in place of what the code raises."""

    entry: str
    build_function: Callable[[], Any]
    loss_function: Callable[[Tensor, Tensor], Any]
    augment_function: Callable[[Tensor], Any] | None
    predict_function: Callable[[nn.Module, Tensor], Any]

    def build(self, seed: int = 0) -> nn.Module:
        """A new model; the same seed gives the same initial values."""
        torch.manual_seed(seed)
        with student_code(f"{self.entry}, build_model"):
            model = self.build_function()
        if not isinstance(model, nn.Module):
            raise StudentError(f"{self.entry}: build_model() gave {type(model).__name__}, not a torch.nn.Module")
        if not any(True for _ in model.parameters()):
            raise StudentError(f"{self.entry}: the model of build_model() has no parameters, so nothing can be learnt")
        return model

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        with student_code(f"{self.entry}, loss"):
            value = self.loss_function(outputs, labels)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise StudentError(f"{self.entry}: loss() must give a tensor of one number, not {_describe(value)}")
        return value

    def augment(self, images: Tensor) -> Tensor:
        if self.augment_function is None:
            return images
        with student_code(f"{self.entry}, augment"):
            changed = self.augment_function(images)
        if not isinstance(changed, Tensor) or len(changed) != len(images):
            raise StudentError(f"{self.entry}: augment() must give as many images as it gets, not {_describe(changed)}")
        return changed

    def forward(self, model: nn.Module, images: Tensor) -> Any:
        with student_code(f"{self.entry}, the model's forward"):
            return model(images)

    def predict(self, model: nn.Module, images: Tensor) -> NDArray[np.int64]:
        """Class ids, int64, one a row."""
        with student_code(f"{self.entry}, predict"):
            answer = self.predict_function(model, images)
        ids = answer.detach().cpu().numpy() if isinstance(answer, Tensor) else np.asarray(answer)
        if ids.shape != (len(images),) or ids.dtype.kind not in "iu":
            raise StudentError(
                f"{self.entry}: predict() must give {len(images)} whole numbers, one a row, not {_describe(answer)}"
            )
        return ids.astype(np.int64)


def load_student_model() -> StudentModel:
    """Loads RUNNER_ENTRY (default model.py) of the code folder. Raises StudentError."""
    entry = os.environ.get("RUNNER_ENTRY") or "model.py"
    if not ENTRY.fullmatch(entry):
        raise StudentError(f"entry {entry[:80]!r} is no name of a Python file in the submission's top folder")
    module = load_file(code_folder() / entry)
    found = {name: getattr(module, name, None) for name in ("build_model", "loss", "augment", "predict")}
    if found["build_model"] is None:
        raise StudentError(f"{entry}: there is no function build_model(); it must give a torch.nn.Module")
    for name, function in found.items():
        if function is not None and not callable(function):
            raise StudentError(f"{entry}: {name} is {type(function).__name__}, not a function")
    return StudentModel(
        entry,
        found["build_model"],
        found["loss"] or nn.functional.cross_entropy,
        found["augment"],
        found["predict"] or _argmax,
    )


def named_arrays(model: nn.Module) -> dict[str, Tensor]:
    """Parameters, then saved buffers (a BatchNorm's running values), each once, by name; not copies."""
    saved = model.state_dict(keep_vars=True)
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in saved}
    return dict(model.named_parameters()) | buffers


def load_arrays(model: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Copies the arrays into the model. Raises FormatError unless names, shapes and dtypes are the model's."""
    targets = named_arrays(model)
    if targets.keys() != arrays.keys():
        missing, unknown = sorted(targets.keys() - arrays.keys()), sorted(arrays.keys() - targets.keys())
        raise FormatError(f"parameters: they are not this model's; missing {missing[:5]}, unknown {unknown[:5]}")
    with torch.no_grad():
        for name, target in targets.items():
            values = torch.from_numpy(np.array(arrays[name]))
            if values.shape != target.shape or values.dtype != target.dtype:
                raise FormatError(
                    f"parameters: {name} is {values.dtype} {list(values.shape)}, "
                    f"the model's {target.dtype} {list(target.shape)}"
                )
            target.copy_(values)


def _argmax(model: nn.Module, images: Tensor) -> Tensor:
    outputs = model(images)
    if not isinstance(outputs, Tensor) or outputs.ndim != 2:
        raise StudentError(
            f"the model gave {_describe(outputs)}, not [rows, classes]; write predict() to choose a class"
        )
    return outputs.argmax(dim=1)


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {list(shape)}" if shape is not None else "")
