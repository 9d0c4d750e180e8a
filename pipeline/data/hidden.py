"""Hidden test inputs: the public test pictures in a secret order and slightly changed.

A model with the public labels built in, looked up by a picture's hash or by its place, knows none of them; an honest
one loses less than a third of a point. Shifts stay below half a pixel for that: a LeNet-5 after one or two epochs loses
1 to 2 points by whole ones. All of it follows from the secret by SHAKE-256 and integers, the same on any machine.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import CourseError

PIXEL = 256
SHIFT = 102
"""of PIXEL: 0.4 pixels"""
WHOLE = 1024
BRIGHTNESS = 102
"""of WHOLE: a tenth"""
NOISE = 4
SHORTEST_SECRET = 16

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


def hidden_test(images: Bytes, labels: Bytes, secret: bytes, most: int | None = None) -> tuple[Bytes, Bytes]:
    """Inputs uint8 [rows, 28, 28] and their labels uint8 [rows], in an order and with changes that `secret` decides.

    All pictures take part in the order, and the first `most` of it are made, the same however many these are.
    Each picture is shifted by up to 0.4 pixels each way and its brightness changed by up to a tenth, and then each
    pixel by up to NOISE of 255. Raises CourseError for a secret that could be guessed by trying.
    """
    if len(secret) < SHORTEST_SECRET:
        raise CourseError(
            f"the secret of the hidden test has {len(secret)} bytes, at least {SHORTEST_SECRET} are needed",
            hint="for example: head -c 32 /dev/urandom > FILE",
        )
    order = np.argsort(numbers(secret, "order", len(images), "<u8"), kind="stable")[:most]
    rows = len(order)
    moved = images[order].astype(np.int64)
    for axis, name in ((1, "down"), (2, "right")):
        moved = shifted(moved, axis, around_zero(secret, name, rows, SHIFT))
    bright = moved * (WHOLE + around_zero(secret, "brightness", rows, BRIGHTNESS))[:, None, None]
    unit = PIXEL * PIXEL * WHOLE
    changed = (bright + unit // 2) // unit + around_zero(secret, "noise", moved.size, NOISE).reshape(moved.shape)
    return np.clip(changed, 0, 255).astype(np.uint8), labels[order]


def shifted(pictures: Integers, axis: int, by: Integers) -> Integers:
    """Each picture moved along `axis` by its part of a pixel, values times PIXEL; what enters is black."""
    size = pictures.shape[axis]
    edges = [(1, 1) if one == axis else (0, 0) for one in range(pictures.ndim)]
    padded = np.pad(pictures, edges)
    before, after = padded.take(range(size), axis), padded.take(range(2, size + 2), axis)
    by = by[:, None, None]
    moved: Integers = (PIXEL - np.abs(by)) * pictures + np.abs(by) * np.where(by > 0, before, after)
    return moved


def around_zero(secret: bytes, purpose: str, count: int, most: int) -> Integers:
    """`count` integers from -most to most that follow from secret and purpose alone."""
    return numbers(secret, purpose, count, "<u4").astype(np.int64) % (2 * most + 1) - most


def numbers(secret: bytes, purpose: str, count: int, dtype: str) -> NDArray[np.unsignedinteger]:
    """`count` uniform unsigned integers that follow from secret and purpose alone."""
    kind = np.dtype(dtype)
    stream = hashlib.shake_256(purpose.encode() + b"\0" + secret).digest(count * kind.itemsize)
    return np.frombuffer(stream, kind)
