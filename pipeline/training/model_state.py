"""The arrays that are trained, with all that an update changes, and the checks that a gradient must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.training.aggregation import average, average_buffers
from pipeline.training.optimisers import Optimiser, make_optimiser
from pipeline.training.refusal import RefusalError
from pipeline.training.schema import Schema, Values
from pipeline.training.server_settings import ServerSettings
from pipeline.training.shard_progress import Contribution


@dataclass(frozen=True)
class ModelState:
    """`mean` is scratch of the gradient's size."""

    schema: Schema
    values: Values
    optimiser: Optimiser
    mean: NDArray[np.float32]

    def update(self, contributions: Sequence[Contribution]) -> int:
        """One step by the mean of the contributions; how many gradients they were."""
        count = average(contributions, self.mean)
        self.optimiser.step(self.values.trainable, self.mean)
        average_buffers(contributions, self.values)
        return count


def new_model(settings: ServerSettings, schema: Schema, values: Values) -> ModelState:
    size = schema.sizes[0]
    optimiser = make_optimiser(settings.optimiser, size, settings.learning_rate, settings.momentum)
    return ModelState(schema, values, optimiser, np.empty(size, np.float32))


def initial_values(schema: Schema, body: bytes) -> Values:
    """The values in the first upload. Raises RefusalError 409 (format, values)."""
    if len(body) != schema.size_bytes:
        raise RefusalError(409, "format", f"{len(body)} bytes came, the schema says {schema.size_bytes}")
    values = schema.view(body).copy()
    if not (np.isfinite(values.trainable).all() and np.isfinite(values.buffers).all()):
        raise RefusalError(409, "values", "the initial values hold NaN or infinite numbers")
    return values


def check_gradient(values: Values, max_norm: float) -> None:
    """Refuses NaN, infinite numbers and a norm above the cap, in one pass that starts no thread of a BLAS."""
    squares = float(np.einsum("i,i->", values.trainable, values.trainable))
    if not np.isfinite(squares):
        raise RefusalError(409, "values", "the gradient holds NaN, infinite or too large numbers")
    if squares > max_norm**2:
        raise RefusalError(409, "norm", f"the gradient's norm is {squares**0.5:.3g}; at most {max_norm:.3g} is taken")
    if values.buffers.size and not np.isfinite(values.buffers).all():
        raise RefusalError(409, "values", "a buffer holds NaN or infinite numbers")
