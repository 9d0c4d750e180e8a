"""The runner's safetensors: what it writes others read, what it reads is bounded and exact."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from runner.arrays import DTYPES, decode, encode
from runner.errors import FormatError


def packed(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def f32(shape: list[int], start: int, stop: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize("code", DTYPES)
def test_every_dtype_goes_through_the_reference_package_and_back(code: str) -> None:
    values = {"a": np.arange(6).reshape(2, 3).astype(DTYPES[code]), "scalar": np.array(1, DTYPES[code])}
    written = encode(values, {"mean": "0.1307"})
    for read in (safetensors.numpy.load(written), decode(written)[0], decode(safetensors.numpy.save(values))[0]):
        assert read.keys() == values.keys()
        for name, array in values.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)
    assert decode(written)[1] == {"mean": "0.1307"}


def test_arrays_of_mixed_width_are_aligned_and_empty_ones_kept() -> None:
    values = {"u": np.ones(3, np.uint8), "f": np.ones(2, np.float64), "none": np.ones((0, 4), np.float32)}
    read, _ = decode(encode(values))
    assert read["none"].shape == (0, 4)
    assert all(array.flags.aligned for array in read.values())


def test_a_slice_is_written_as_what_it_shows() -> None:
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(decode(encode({"a": whole[:, ::2]}))[0]["a"], whole[:, ::2])


def test_a_dtype_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(FormatError, match="array w: dtype complex64"):
        encode({"w": np.ones(1, np.complex64)})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut off"),
        (b"\xff" * 8, "cut off"),
        ((2**21).to_bytes(8, "little") + b" " * 2**21, "cut off"),
        (packed(b"{"), "cannot be read"),
        (packed(b"[" * 2000), "cannot be read"),
        (packed(b"[]"), "no JSON object"),
        (packed(b'{"a":1,"a":2}'), "twice"),
        (packed({"a": 3}), "no dtype"),
        (packed({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"ab"), "dtype BF16"),
        (packed({"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, b"abcd"), "dtype"),
        (packed({"a": f32([-1], 0, 4)}, b"abcd"), "wrong shape"),
        (packed({"a": f32([True], 0, 4)}, b"abcd"), "wrong shape"),
        (packed({"a": f32([2**47, 2**47], 0, 4)}, b"abcd"), "has not the bytes"),
        (packed({"a": f32([1], 0, 8)}, b"abcdefgh"), "has not the bytes"),
        (packed({"a": f32([1], 0, 4)}, b"abc"), "3 bytes of arrays, 4 were announced"),
        (packed({"a": f32([1], 0, 4)}, b"abcde"), "5 bytes of arrays, 4 were announced"),
        (packed({"a": f32([1], 0, 4), "b": f32([1], 0, 4)}, b"abcd"), "overlap"),
        (packed({"a": f32([1], 4, 8)}, b"abcdefgh"), "gap"),
        (packed({"__metadata__": {"a": 1}}), "metadata"),
        (packed({f"a{n}": f32([0], 0, 0) for n in range(10_001)}), "10001 arrays"),
    ],
)
def test_what_the_format_does_not_allow_is_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        decode(content, "parameters")
    assert str(caught.value).startswith("parameters: ")


@given(st.binary(max_size=200), st.integers(0, 300))
def test_damaged_bytes_never_raise_anything_else(noise: bytes, at: int) -> None:
    whole = encode({"a": np.arange(20, dtype=np.float32), "b": np.arange(3)})
    for content in (noise, whole[:at] + noise, whole[:at] + noise + whole[at + len(noise) :]):
        with contextlib.suppress(FormatError):
            decode(content)
