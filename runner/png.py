"""PNG to pixels: grey, RGB, with alpha or a palette, up to 8 bits a channel. Bounded: the file may be anybody's.

After ISO/IEC 15948 (PNG, second edition). Nothing larger than MOST_PIXELS is unpacked, however small its file is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.errors import ImageError

Bytes = NDArray[np.uint8]
Predict = Callable[[int, int, int], int]
"""From the bytes left, above, and above left of one."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 1 << 18
MOST_SIDE = 1 << 14
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
BITS = (1, 2, 4, 8)
WEIGHTS = np.array([299, 587, 114], np.int64)
"""Of red, green and blue in a thousandth of brightness (ITU-R BT.601)."""


@dataclass(frozen=True)
class Header:
    """What IHDR says, checked."""

    width: int
    height: int
    bits: int
    colour: int

    @property
    def channels(self) -> int:
        return CHANNELS[self.colour]

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return (self.width * self.channels * self.bits + 7) // 8

    @property
    def unpacked(self) -> int:
        """Bytes of all rows, each with the byte that names its filter."""
        return self.height * (1 + self.row)


def decode(content: bytes, what: str = "image") -> Bytes:
    """Brightness, uint8 [height, width]; colours are weighed, what is transparent lies on black. Raises ImageError."""
    if not content.startswith(SIGNATURE):
        raise ImageError(f"{what}: it is no PNG but {_looks_like(content)}")
    parts = dict[bytes, list[bytes]]()
    for kind, data in _chunks(content, what):
        parts.setdefault(kind, []).append(data)
    header = _header(parts.get(b"IHDR", []), what)
    pixels = _channels(_unfiltered(_unpacked(parts.get(b"IDAT", []), header, what), header.channels, what), header)
    if header.colour == PALETTE:
        return _grey(_looked_up(pixels[..., 0], parts.get(b"PLTE", []), what))
    return _grey(pixels)


def _looks_like(content: bytes) -> str:
    known = {b"\xff\xd8\xff": "a JPEG", b"GIF8": "a GIF", b"<": "HTML or XML", b"\x1f\x8b": "gzip", b"RIFF": "a RIFF"}
    if not content:
        return "empty"
    return next((name for start, name in known.items() if content.lstrip().startswith(start)), "something else")


def _chunks(content: bytes, what: str) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk up to IEND. Each is a slice: what a length claims reserves nothing."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(content):
            raise ImageError(f"{what}: the PNG ends early, after {len(content)} bytes")
        length, kind = struct.unpack_from(">I4s", content, at)
        data = content[at + 8 : at + 8 + length]
        end = at + 8 + length
        if end + 4 > len(content):
            raise ImageError(f"{what}: the PNG ends early, after {len(content)} bytes")
        if at == len(SIGNATURE) and kind != b"IHDR":
            raise ImageError(f"{what}: the PNG does not begin with its header")
        if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(content[end : end + 4], "big"):
            raise ImageError(f"{what}: the PNG is damaged: a checksum is wrong")
        yield kind, data
        at = end + 4


def _header(found: list[bytes], what: str) -> Header:
    if len(found) != 1 or len(found[0]) != 13:
        raise ImageError(f"{what}: the PNG has no whole header")
    width, height, bits, colour, packing, filtering, interlaced = struct.unpack(">IIBBBBB", found[0])
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE and width * height <= MOST_PIXELS):
        raise ImageError(f"{what}: {width} x {height} pixels, from 1 to {MOST_PIXELS} of them are read")
    if colour not in CHANNELS or packing or filtering or interlaced > 1:
        raise ImageError(f"{what}: the PNG's header holds values that no PNG has")
    if bits not in (BITS if colour in (GREY, PALETTE) else BITS[-1:]) or interlaced:
        form = "interlaced" if interlaced else f"with {bits} bits a channel"
        raise ImageError(f"{what}: a PNG {form} is not read: save it with 8 bits a channel, not interlaced")
    return Header(width, height, bits, colour)


def _unpacked(packed: list[bytes], header: Header, what: str) -> Bytes:
    """Never more bytes than the header asks for, and one."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(b"".join(packed), header.unpacked + 1)
    except zlib.error:
        raise ImageError(f"{what}: the PNG is damaged: its pixels cannot be unpacked") from None
    if len(content) != header.unpacked:
        more = "more" if len(content) > header.unpacked else "fewer"
        raise ImageError(f"{what}: the PNG has {more} pixels than its header says")
    return np.frombuffer(content, np.uint8).reshape(header.height, -1)


def _unfiltered(rows: Bytes, step: int, what: str) -> Bytes:
    """[height, bytes of a row]. Each byte was predicted from those left of and above it; see section 9 there."""
    filters = rows[:, 0]
    if filters.max() > 4:
        raise ImageError(f"{what}: the PNG is damaged: a row has filter {filters.max()}")
    made = np.zeros((len(rows) + 1, rows.shape[1] - 1), np.uint8)  # above the first row all are 0
    for number, (kind, row) in enumerate(zip(filters.tolist(), rows[:, 1:], strict=True), start=1):
        above = made[number - 1]
        if kind == 0:
            made[number] = row
        elif kind == 1:
            made[number] = np.cumsum(row.reshape(-1, step), 0, dtype=np.uint8).reshape(-1)
        elif kind == 2:
            made[number] = row + above
        else:
            predict = _average if kind == 3 else _paeth
            made[number] = np.frombuffer(_one_by_one(row.tolist(), above.tolist(), step, predict), np.uint8)
    return made[1:]


def _one_by_one(row: list[int], above: list[int], step: int, predict: Predict) -> bytearray:
    made = bytearray(len(row))
    for at, value in enumerate(row):
        left, corner = (made[at - step], above[at - step]) if at >= step else (0, 0)
        made[at] = (value + predict(left, above[at], corner)) & 255
    return made


def _average(left: int, above: int, _corner: int) -> int:
    return (left + above) // 2


def _paeth(left: int, above: int, corner: int) -> int:
    """The nearest of the three to left + above - corner; left before above before corner."""
    by_left, by_above, by_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
    if by_left <= by_above and by_left <= by_corner:
        return left
    return above if by_above <= by_corner else corner


def _channels(rows: Bytes, header: Header) -> Bytes:
    """[height, width, channels]; of fewer than 8 bits the indices of a palette, or grey stretched to 255."""
    if header.bits < 8:
        single = np.unpackbits(rows, axis=1).reshape(header.height, -1, header.bits)
        values = single @ (1 << np.arange(header.bits)[::-1])
        stretch = 1 if header.colour == PALETTE else 255 // (2**header.bits - 1)
        rows = (values[:, : header.width] * stretch).astype(np.uint8)
    return rows.reshape(header.height, header.width, header.channels)


def _looked_up(indices: Bytes, found: list[bytes], what: str) -> Bytes:
    if len(found) != 1 or not 0 < len(found[0]) <= 768 or len(found[0]) % 3:
        raise ImageError(f"{what}: the PNG has no whole palette")
    palette = np.frombuffer(found[0], np.uint8).reshape(-1, 3)
    if indices.max() >= len(palette):
        raise ImageError(f"{what}: the PNG is damaged: a pixel is not in its palette")
    return palette[indices]


def _grey(pixels: Bytes) -> Bytes:
    """[height, width] of [height, width, channels]."""
    channels = pixels.shape[2]
    if channels == 1:
        return pixels[..., 0]
    bright = pixels[..., :3].astype(np.int64) @ WEIGHTS if channels > 2 else pixels[..., 0].astype(np.int64) * 1000
    if channels in (2, 4):
        bright = bright * pixels[..., -1] // 255
    return ((bright + 500) // 1000).astype(np.uint8)
