"""Accuracy of answers against labels that no student process can read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from pipeline.backends.store import Bucket
from pipeline.errors import LimitError
from pipeline.training.execution import PredictionState
from pipeline.training.prediction import PROBLEMS

BYTES_A_ROW = 8
HEADER_BYTES = 4096


class AnswerError(Exception):
    """An answer is missing or is not class ids, one for each row; the text is fit for the student."""


def accuracy(answer: NDArray[np.int64], labels: NDArray[np.uint8]) -> float:
    """The share of rows, 0 to 1, whose class id equals the label. Shapes [rows] and [rows]."""
    return float(np.mean(answer == labels.astype(np.int64)))


def read_answer(bucket: Bucket, prediction: PredictionState, rows: int) -> NDArray[np.int64]:
    """The class ids, int64 [rows], that a prediction left in the store. Raises AnswerError where there are none."""
    if prediction.problem:
        raise AnswerError(PROBLEMS[prediction.problem])
    try:
        content = bucket.get(prediction.answer_key, at_most=rows * BYTES_A_ROW + HEADER_BYTES)
    except KeyError:
        raise AnswerError("the prediction left no answer") from None
    except LimitError:
        raise AnswerError(f"the prediction's answer is larger than {rows} class ids are") from None
    try:
        classes = load(content).get("classes")
    except (SafetensorError, KeyError, ValueError, TypeError):  # KeyError: a dtype that numpy does not have
        raise AnswerError("the prediction's answer is not in the form asked for") from None
    if classes is None or classes.dtype != np.int64 or classes.shape != (rows,):
        raise AnswerError(f"the prediction's answer is not {rows} class ids")
    return classes
