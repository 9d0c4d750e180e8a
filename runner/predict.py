"""Prediction: held-out inputs and parameters in, class ids out. Nothing is printed here, and no label is ever seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from runner import arrays, storage
from runner.dataset import Dataset, fetch_inputs
from runner.device import choose_device
from runner.model import StudentModel, load_arrays, load_student_model
from runner.parameters import PredictParameters
from runner.student import student_code

BATCH_ROWS = 500


def main(params: dict[str, Any]) -> dict[str, Any]:
    """Answers `{"code": 200, "rows": n}` once all class ids are stored. Raises RunnerError that names the fault.

    Each job gets a model of its own, built anew.
    """
    wanted = PredictParameters.parse(params)
    device = choose_device(wanted.device)
    torch.set_num_threads(wanted.threads)
    student = load_student_model()
    inputs = fetch_inputs(wanted.inputs_url)
    for job in wanted.jobs:
        model = student.build()
        values, _ = arrays.decode(storage.get(job.parameters_url, "parameters"), "parameters")
        load_arrays(model, values)
        classes = predict(student, model, inputs, device)
        storage.put(job.answer_url, "answer", arrays.encode({"classes": classes}))
    return {"code": 200, "rows": len(inputs)}


def predict(student: StudentModel, model: nn.Module, inputs: Dataset, device: torch.device) -> NDArray[np.int64]:
    """Class ids, int64 [rows], computed in batches, in evaluation mode and without gradients."""
    with student_code(f"{student.entry}, the model"):
        model.to(device)
        model.eval()
    classes = np.empty(len(inputs), np.int64)
    with torch.inference_mode():
        for start in range(0, len(inputs), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            classes[rows] = student.predict(model, torch.from_numpy(inputs.inputs(rows)).to(device))
    return classes
