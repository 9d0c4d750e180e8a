"""One batch's gradient, as every way of training needs it."""

from __future__ import annotations

import math

from runner.batches import Batches, Position
from runner.dataset import Dataset
from runner.errors import StudentError
from runner.flat_model import FlatModel
from runner.model import StudentModel


class Learner:
    """A student's model on one shard's rows."""

    def __init__(self, student: StudentModel, rows: Dataset, flat: FlatModel, batches: Batches) -> None:
        self.student = student
        self.rows = rows
        self.flat = flat
        self.batches = batches

    def batch(self, position: Position) -> tuple[float, int]:
        """Adds one batch's gradient to the flat one; its loss and its samples. Raises StudentError."""
        self.batches.seed_randomness(position)
        images, labels = self.rows.batch(self.batches.rows_of(position))
        images, labels = images.to(self.flat.device), labels.to(self.flat.device)
        outputs = self.student.forward(self.flat.model, self.student.augment(images))
        loss = self.student.loss(outputs, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        if not math.isfinite(value):
            raise StudentError(f"the loss is {value} in epoch {position.epoch}, step {position.step}; lower the rate")
        return value, len(labels)
