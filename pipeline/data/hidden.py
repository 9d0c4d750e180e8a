"""Hidden test inputs: the public test pictures in a secret order and slightly changed.

A model with the public labels built in, looked up by a picture's hash or by its place, knows none of them; an honest
one loses far less than half a point. All of it follows from the secret by SHAKE-256, on any machine and NumPy.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import CourseError

SHIFT = 1
NOISE = 4
BRIGHTNESS = 0.1
SHORTEST_SECRET = 16

Bytes = NDArray[np.uint8]


def hidden_test(images: Bytes, labels: Bytes, secret: bytes) -> tuple[Bytes, Bytes]:
    """Inputs uint8 [rows, 28, 28] and their labels uint8 [rows], in an order and with changes that `secret` decides.

    Each picture is shifted by up to SHIFT pixels each way, its brightness scaled by 1 +- BRIGHTNESS, and each pixel
    changed by up to NOISE of 255. Raises CourseError for a secret that could be guessed by trying.
    """
    if len(secret) < SHORTEST_SECRET:
        raise CourseError(
            f"the secret of the hidden test has {len(secret)} bytes, at least {SHORTEST_SECRET} are needed",
            hint="for example: head -c 32 /dev/urandom > FILE",
        )
    order = np.argsort(numbers(secret, "order", len(images), "<u8"), kind="stable")
    moved = shifted(images[order], secret)
    rows = len(moved)
    scale = 1 - BRIGHTNESS + 2 * BRIGHTNESS * numbers(secret, "brightness", rows, "<u2").astype(np.float64) / 65535
    noise = numbers(secret, "noise", moved.size, "u1").reshape(moved.shape) % (2 * NOISE + 1)
    changed = np.rint(moved * scale[:, None, None]) + noise - NOISE
    return np.clip(changed, 0, 255).astype(np.uint8), labels[order]


def shifted(images: Bytes, secret: bytes) -> Bytes:
    """Each picture moved by its own number of pixels; what leaves the picture is lost, what enters is black."""
    rows, height, width = images.shape
    padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    down, right = (numbers(secret, axis, rows, "<u4") % (2 * SHIFT + 1) for axis in ("down", "right"))
    row = np.arange(rows)[:, None, None]
    moved: Bytes = padded[
        row, down[:, None, None] + np.arange(height)[:, None], right[:, None, None] + np.arange(width)
    ]
    return moved


def numbers(secret: bytes, purpose: str, count: int, dtype: str) -> NDArray[np.unsignedinteger]:
    """`count` uniform unsigned integers that follow from secret and purpose alone."""
    kind = np.dtype(dtype)
    stream = hashlib.shake_256(purpose.encode() + b"\0" + secret).digest(count * kind.itemsize)
    return np.frombuffer(stream, kind)
