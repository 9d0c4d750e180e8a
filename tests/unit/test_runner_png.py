"""PNG files to pixels: every form that is read, against Pillow, and files that lie."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.data.png import SIGNATURE, chunk, grey_png
from runner import png
from runner.errors import ImageError

RANDOM = np.random.default_rng(1)
NOISE = RANDOM.integers(0, 256, (9, 14, 3), np.uint8)
SMOOTH = (np.add.outer(np.arange(40), np.arange(33)) * 3 % 256).astype(np.uint8)


def saved(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def made(
    rows: bytes,
    *,
    width: int = 2,
    height: int = 2,
    bits: int = 8,
    colour: int = 0,
    interlaced: int = 0,
    more: bytes = b"",
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    packed = chunk(b"IDAT", zlib.compress(rows))
    return SIGNATURE + chunk(b"IHDR", header) + more + packed + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(SMOOTH),
        Image.fromarray(NOISE),
        Image.fromarray(np.dstack([SMOOTH, SMOOTH[::-1], SMOOTH[:, ::-1]])),
        Image.fromarray(NOISE).quantize(200),
        Image.fromarray(NOISE).quantize(3),
        Image.fromarray(SMOOTH).convert("1"),
    ],
    ids=["grey", "rgb", "rgb-smooth", "palette", "palette-of-2-bits", "black-and-white"],
)
def test_pixels_are_those_that_pillow_reads(image: Image.Image) -> None:
    found = png.decode(saved(image)).astype(int)
    expected = np.asarray(image.convert("RGB").convert("L")).astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("kind", range(5))
def test_each_filter_is_undone(kind: int) -> None:
    """Rows filtered here by the standard's formulas, one byte at a time."""
    pixels = NOISE[..., 0].astype(int)
    padded = np.pad(pixels, ((1, 0), (1, 0)))
    left, above, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    guess = left + above - corner
    nearest = np.stack([abs(guess - one) for one in (left, above, corner)]).argmin(0)
    predicted = [0 * left, left, above, (left + above) // 2, np.choose(nearest, [left, above, corner])][kind]
    rows = np.pad((pixels - predicted) % 256, ((0, 0), (1, 0)), constant_values=kind).astype(np.uint8)
    assert (png.decode(made(rows.tobytes(), width=14, height=9)) == pixels).all()


def test_what_the_course_writes_is_read() -> None:
    assert (png.decode(grey_png(SMOOTH)) == SMOOTH).all()


def test_what_is_transparent_is_black() -> None:
    white = np.full((2, 2, 4), 255, np.uint8)
    white[0, 0, 3] = 0
    assert png.decode(saved(Image.fromarray(white))).tolist() == [[0, 255], [255, 255]]


ROWS = bytes(6)
BOMB = zlib.compress(bytes(64 * 2**20), 9)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<!doctype html>", "HTML"),
        (b"\xff\xd8\xff\xe0", "a JPEG"),
        (SIGNATURE, "ends early"),
        (made(ROWS)[:-20], "ends early"),
        (SIGNATURE + b"\xff\xff\xff\xffIHDR" + bytes(20), "ends early"),
        (SIGNATURE + chunk(b"IDAT", b"") + made(ROWS)[8:], "does not begin with its header"),
        (made(ROWS).replace(b"IDAT", b"IDAt"), "checksum"),
        (made(ROWS, more=chunk(b"IHDR", bytes(13))), "no whole header"),
        (made(ROWS, width=0), "0 x 2 pixels"),
        (made(ROWS, width=2**31, height=2**31), "pixels, from 1 to"),
        (made(ROWS, width=2**14, height=2**14), "pixels, from 1 to"),
        (made(ROWS, bits=16), "16 bits a channel is not read"),
        (made(ROWS, interlaced=1), "interlaced is not read"),
        (made(ROWS, colour=5), "values that no PNG has"),
        (made(bytes(5)), "fewer pixels"),
        (made(bytes(7)), "more pixels"),
        (made(b"\5" + bytes(5)), "filter 5"),
        (made(ROWS, colour=3), "no whole palette"),
        (made(b"\0\1\1\0\1\1", colour=3, more=chunk(b"PLTE", bytes(3))), "not in its palette"),
        (SIGNATURE + made(ROWS)[8:33] + chunk(b"IDAT", b"no zlib") + chunk(b"IEND", b""), "cannot be unpacked"),
        (SIGNATURE + made(ROWS)[8:33] + chunk(b"IDAT", BOMB) + chunk(b"IEND", b""), "more pixels"),
    ],
)
def test_a_file_that_lies_is_refused_in_words(content: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        png.decode(content)
