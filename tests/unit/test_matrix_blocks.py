"""Matrices in blocks, the course's side: cutting covers all once, operands do not depend on it, errors are named."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save

from pipeline.errors import LimitError, SubmissionError
from pipeline.kinds.matrix import MatrixData
from pipeline.matrices.blocks import MOST_OBJECTS, Task, at_once, distinct, shares, tasks_of
from pipeline.matrices.judging import ARRAY, Judged, judge, right_block
from pipeline.matrices.operands import Operands, Span
from pipeline.matrices.picture import drawn

OPERANDS = Operands(b"a secret of thirty-two bytes, ...")
SMALL = MatrixData(rows=20, inner=30, columns=17)
sides = st.integers(1, 90)
sizes = st.integers(8, 40)


def whole(name: str, rows: int, columns: int) -> np.ndarray:
    return OPERANDS.part(name, Span(0, rows), Span(0, columns))


def convolution(rows: int, columns: int, kernel: int, pool: int) -> MatrixData:
    return MatrixData(operation="convolve", rows=rows, columns=columns, kernel=kernel, pool=pool if pool > 1 else None)


def put_together(data: MatrixData, block_size: int) -> np.ndarray:
    """The answer out of its blocks; each element is written once, or the count says so."""
    answer, times = np.zeros(data.answer), Counter[tuple[int, int]]()
    for task in tasks_of(data, block_size):
        answer[task.rows.start : task.rows.stop, task.columns.start : task.columns.stop] = right_block(
            task, data, OPERANDS
        )
        times.update((i, j) for i in range(*task.rows) for j in range(*task.columns))
    assert len(times) == answer.size
    assert set(times.values()) == {1}
    return answer


@given(sides, sides, sides, sizes)
@settings(max_examples=30, deadline=None)
def test_a_product_of_blocks_is_the_product(rows: int, inner: int, columns: int, block_size: int) -> None:
    answer = put_together(MatrixData(rows=rows, inner=inner, columns=columns), block_size)
    expected = whole("a", rows, inner).astype(float) @ whole("b", inner, columns).astype(float)
    np.testing.assert_array_equal(answer, expected)


@given(st.integers(20, 90), st.integers(20, 90), st.integers(1, 9), st.integers(1, 4), sizes)
@settings(max_examples=30, deadline=None)
def test_a_convolution_of_blocks_is_that_of_torch(rows: int, columns: int, kernel: int, pool: int, size: int) -> None:
    answer = put_together(convolution(rows, columns, kernel, pool), size)
    image, weights = (torch.from_numpy(one).double()[None, None] for one in (
        whole("image", rows, columns), whole("kernel", kernel, kernel)
    ))  # fmt: skip
    expected = torch.nn.functional.max_pool2d(torch.nn.functional.conv2d(image, weights), pool)
    np.testing.assert_allclose(answer, expected[0, 0].numpy(), rtol=0, atol=1e-12)


def test_pooling_alone_is_that_of_torch() -> None:
    answer = put_together(MatrixData(operation="pool", rows=50, columns=41, pool=3), 8)
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(whole("image", 50, 41))[None, None], 3)
    np.testing.assert_array_equal(answer, expected[0, 0].numpy())


def test_operands_are_the_same_however_they_are_cut_and_others_with_another_secret() -> None:
    part = OPERANDS.part("a", Span(50, 150), Span(63, 65))
    np.testing.assert_array_equal(part, whole("a", 150, 65)[50:, 63:])
    assert -1 <= part.min() < part.max() < 1
    assert not np.array_equal(part, Operands(b"another").part("a", Span(50, 150), Span(63, 65)))
    assert not np.array_equal(part, OPERANDS.part("b", Span(50, 150), Span(63, 65)))


@given(st.integers(1, 300), st.integers(1, 64))
def test_shares_cover_all_tasks_in_order_and_evenly(count: int, workers: int) -> None:
    tasks = tasks_of(MatrixData(rows=8 * count, inner=8, columns=8), 8)
    parts = shares(tasks, workers)
    assert [task for part in parts for task in part] == list(tasks)
    lengths = [len(part) for part in parts]
    assert len(parts) == min(workers, count)
    assert max(lengths) - min(lengths) <= 1


def test_an_activation_is_told_of_no_more_objects_than_fit_its_parameters() -> None:
    tasks = tasks_of(MatrixData(rows=256, inner=256, columns=256), 8)
    left, activations = list(tasks), 0
    while left:
        now = at_once(left)
        assert len(distinct(now)) + len(now) <= MOST_OBJECTS
        assert now == tuple(left[: len(now)])
        left, activations = left[len(now) :], activations + 1
    assert activations > 1


def test_blocks_that_are_too_small_are_the_students_fault() -> None:
    with pytest.raises(SubmissionError, match="block_size 8 cuts") as raised:
        tasks_of(MatrixData(rows=65_536, columns=1024), 8)
    assert "larger" in raised.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"operation": "multiply", "kernel": 3},
        {"operation": "convolve"},
        {"operation": "pool"},
        {"operation": "pool", "pool": 2, "inner": 4},
        {"operation": "convolve", "kernel": 9, "rows": 8},
    ],
)
def test_sizes_that_an_operation_has_not_or_needs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MatrixData.model_validate(wrong)


class Stored:
    """A bucket of one object."""

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def get(self, key: str, *, at_most: int) -> bytes:
        if self.content is None:
            raise KeyError(key)
        if len(self.content) > at_most:
            raise LimitError("too large")
        return self.content


def first_task() -> Task:
    return tasks_of(SMALL, 16)[0]


def judged(content: bytes | None) -> Judged:
    return judge(Stored(content), "key", first_task(), SMALL, OPERANDS)  # type: ignore[arg-type]


def right() -> np.ndarray:
    return right_block(first_task(), SMALL, OPERANDS).astype(np.float32)


def test_a_right_block_is_right_to_the_tolerance() -> None:
    found = judged(save({ARRAY: right()}))
    assert found.right
    assert found.error is not None
    assert found.error < 1e-6
    largest = float(np.abs(right()).max())
    assert judged(save({ARRAY: right() + np.float32(0.9e-4 * largest)})).right
    assert not judged(save({ARRAY: right() + np.float32(1.1e-4 * largest)})).right


def with_value(value: float) -> np.ndarray:
    block = right()
    block[2, 3] = value
    return block


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "is missing", id="no object"),
        pytest.param(b"no arrays", "not in the form", id="no arrays"),
        pytest.param(save({"other": np.zeros(1, np.float32)}), "no array", id="another name"),
        pytest.param(save({ARRAY: right()[1:]}), "float32 [15, 16], asked is float32 [16, 16]", id="shape"),
        pytest.param(save({ARRAY: right().astype(np.float16)}), "float16", id="dtype"),
        pytest.param(save({ARRAY: np.zeros((64, 64), np.float32)}), "larger than asked", id="size"),
        pytest.param(
            save({ARRAY: with_value(np.nan)}),
            "has 1 values that are no numbers, the first nan at [2, 3]",
            id="not a number",
        ),
        pytest.param(save({ARRAY: with_value(np.inf)}), "inf at [2, 3]", id="infinity"),
        pytest.param(save({ARRAY: right() * 0}), "off by 1 of its largest", id="zeros"),
    ],
)
def test_a_wrong_block_is_told_with_its_fault(content: bytes | None, words: str) -> None:
    found = judged(content)
    assert not found.right
    assert words in found.words
    assert found.place == "block (0, 0)"


def test_the_picture_has_each_block_once_and_crosses_out_wrong_ones() -> None:
    tasks = tasks_of(SMALL, 8)
    found = [Judged(task, number != 1, 0.0) for number, task in enumerate(tasks)]
    text = drawn(found, shares(tasks, 2)).decode()
    assert text.count("<rect") == len(tasks)
    assert text.count("<line") == 2
    assert "style" not in text
