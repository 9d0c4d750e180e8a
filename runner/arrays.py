"""Named arrays as bytes: a small, bounded reader and writer of the safetensors format.

Eight bytes of little-endian header length, a JSON header `{name: {dtype, shape, data_offsets}, "__metadata__"}`, then
the arrays without gaps (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.errors import FormatError

Array = NDArray[Any]

MAX_HEADER_BYTES = 1 << 20
MAX_ARRAYS = 10_000
MAX_DIMENSIONS = 16
DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


def encode(arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """Wide dtypes first, then by name: every array is aligned, and the same arrays give the same bytes.

    Raises FormatError for a dtype outside DTYPES.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts: list[bytes] = []
    end = 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = arrays[name]
        code = CODES.get(array.dtype)
        if code is None:
            raise FormatError(f"array {name}: dtype {array.dtype} cannot be sent; use one of {', '.join(DTYPES)}")
        parts.append(array.tobytes())
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def decode(content: bytes | bytearray, what: str = "arrays") -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata. The arrays are views of `content`: read-only where it is bytes.

    Raises FormatError, which names `what`, for everything that the format does not allow or DTYPES does not hold.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    if len(content) < 8 or start - 8 > MAX_HEADER_BYTES or start > len(content):
        raise FormatError(f"{what}: not in the safetensors format, or its header is cut off")
    header = _header(bytes(content[8:start]), what)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(f"{what}: its metadata is not text by name")
    if len(header) > MAX_ARRAYS:
        raise FormatError(f"{what}: {len(header)} arrays, at most {MAX_ARRAYS} are read")
    body = memoryview(content)[start:]
    entries = {name: _entry(name, value, what) for name, value in header.items()}
    _check_layout(entries, len(body), what)
    return {name: _view(body, *entry) for name, entry in entries.items()}, metadata


def _header(text: bytes, what: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a name is there twice")
        return dict(pairs)

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what}: its header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise FormatError(f"{what}: its header is no JSON object")
    return header


def _entry(name: str, value: Any, what: str) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """Dtype, shape, first and last byte of one array."""
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{what}: array {name[:80]} has no dtype, shape and data_offsets")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    dtype = DTYPES.get(code) if isinstance(code, str) else None
    if dtype is None:
        raise FormatError(f"{what}: array {name[:80]} is of dtype {str(code)[:20]}; read are {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS or not _are_sizes(offsets) or len(offsets) != 2:
        raise FormatError(f"{what}: array {name[:80]} has a wrong shape or wrong offsets")
    if offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        raise FormatError(f"{what}: array {name[:80]} has not the bytes that its shape {shape} asks for")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**48 for one in value)


def _check_layout(entries: Mapping[str, tuple[Any, Any, int, int]], size: int, what: str) -> None:
    """Every byte belongs to exactly one array."""
    end = 0
    for start, stop in sorted((start, stop) for _, _, start, stop in entries.values()):
        if start != end:
            raise FormatError(f"{what}: its arrays overlap or leave a gap")
        end = stop
    if end != size:
        raise FormatError(f"{what}: {size} bytes of arrays, {end} were announced")


def _view(body: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], start: int, stop: int) -> Array:
    return np.frombuffer(body[start:stop], dtype=dtype).reshape(shape)
