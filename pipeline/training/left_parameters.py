"""Parameters that a worker left in the run's bucket: bounded arrays, checked, and taken into the course's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.backends.store import Bucket
from pipeline.errors import LimitError, SubmissionError
from pipeline.text import one_line
from pipeline.training.schema import MAX_ARRAYS

MOST_BYTES = 64 * 2**20
HEADER_BYTES = 2**20
DTYPES = (np.dtype(np.float32), np.dtype(np.int64))
Arrays = dict[str, NDArray[Any]]
Form = dict[str, tuple[str, tuple[int, ...]]]
"""Dtype and shape by name."""


def take(bucket: Bucket, key: str, what: str, form: Form | None) -> Arrays:
    """The arrays of an object that a student's process wrote. `form`: what they must be, None for whatever they are.

    Raises KeyError where there is none, SubmissionError where it holds what no parameters are, LimitError where it is
    too large.
    """
    try:
        found: Arrays = load(bucket.get(key, at_most=MOST_BYTES + HEADER_BYTES))
    except LimitError:
        raise LimitError(f"the {what} take more than {MOST_BYTES // 2**20} MB", hint="a smaller model") from None
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, KeyError) and not bucket.exists(key):
            raise
        raise SubmissionError(f"the {what} are not in the form asked for", hint=KEEP) from None
    check(found, what, form)
    return found


KEEP = "let the runner's worker do its work, and keep objects in the bucket that are not yours"


def check(found: Arrays, what: str, form: Form | None) -> None:
    if not 0 < len(found) <= MAX_ARRAYS:
        raise SubmissionError(f"the {what} are {len(found)} arrays; 1 to {MAX_ARRAYS} are taken", hint=KEEP)
    for name, array in found.items():
        if array.dtype not in DTYPES:
            raise SubmissionError(f"the {what}: {one_line(name, 60)} is {array.dtype}; float32 and int64 are taken")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise SubmissionError(
                f"the {what}: {one_line(name, 60)} holds NaN or infinite numbers", hint="lower the learning rate"
            )
    if form is not None and form_of(found) != form:
        raise SubmissionError(f"the {what} are not the arrays that the training began with", hint=KEEP)


def form_of(arrays: Arrays) -> Form:
    return {name: (array.dtype.name, array.shape) for name, array in arrays.items()}


def as_object(arrays: Arrays, version: int) -> bytes:
    """As prediction reads them."""
    return save(arrays, {"version": str(version)})
