"""PNG's frame and compression, row by row, as no encoder at hand takes a picture.

ISA-L compresses level 1, the default, four to ten times as fast as zlib.
"""

from __future__ import annotations

import base64
import functools
import struct
import zlib
from typing import BinaryIO

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from micam_fast.diagrams.marks import Picture

LEVEL = 1
# ISA-L's own levels 1 to 3 are no slower and make files a seventh smaller, but their bytes differ
# now and then for the same rows: some table begins with what was in memory before.
_ISAL_LEVEL = 0
_NO_FILTER, _UP = 0, 2
# PNG's colour types, by the number of channels.
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}


class PngRows:
    """A PNG of RGB rows that are written as they come, from top to bottom.

    Parameters
    ----------
    file
        Where to.
    width, height
        In pixels.
    dpi
        Pixels to the inch.
    level
        From 0 (as it is) to 9 (smallest).
    """

    def __init__(
        self, file: BinaryIO, width: int, height: int, dpi: float, level: int = LEVEL
    ) -> None:
        self._file = file
        self._with_filter = level != LEVEL
        self._compressor = (
            zlib.compressobj(level) if self._with_filter else isal_zlib.compressobj(_ISAL_LEVEL)
        )
        self._above = np.zeros(3 * width, np.uint8)
        per_metre = round(dpi / 0.0254)
        file.write(_header(width, height, 3))
        file.write(_chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)))

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Add ``(n, 1 + 3 * width)`` rows: a byte 0, then the pixels."""
        if self._with_filter:
            rows = self._filtered(rows)
        self._add(self._compressor.compress(rows.data))

    def close(self) -> None:
        """Write what is left."""
        self._add(self._compressor.flush())
        self._file.write(_END)

    def _filtered(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Filter "up", each row as its difference to the one above: for zlib, not for ISA-L."""
        filtered = np.empty_like(rows)
        filtered[:, 0] = _UP
        np.subtract(rows[0, 1:], self._above, out=filtered[0, 1:])
        np.subtract(rows[1:, 1:], rows[:-1, 1:], out=filtered[1:, 1:])
        self._above = rows[-1, 1:].copy()
        return filtered

    def _add(self, data: bytes) -> None:
        if data:
            self._file.write(_chunk(b"IDAT", data))


def encode_png(pixels: NDArray[np.uint8], level: int = LEVEL) -> bytes:
    """A small picture, ``(h, w, 1)``, ``(h, w, 3)`` or ``(h, w, 4)`` uint8, as PNG bytes."""
    height, width, channels = pixels.shape
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = _NO_FILTER
    rows[:, 1:] = pixels.reshape(height, -1)
    if level == LEVEL:
        data = isal_zlib.compress(rows.data, _ISAL_LEVEL)
    else:
        data = zlib.compress(rows.data, level)
    return b"".join((_header(width, height, channels), _chunk(b"IDAT", data), _END))


def png_url(pixels: NDArray[np.uint8], level: int = LEVEL) -> str:
    """A small picture as a data URL, see `encode_png`."""
    return f"data:image/png;base64,{base64.b64encode(encode_png(pixels, level)).decode()}"


def encode_picture(mark: Picture, level: int = LEVEL) -> bytes:
    """A picture as PNG bytes of the size that it is shown in."""
    size = shown_size(mark)
    picture = Image.fromarray(mark.pixels)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.NEAREST)
    return encode_png(np.asarray(picture), level)


def shown_size(mark: Picture) -> tuple[int, int]:
    """Width and height in whole pixels."""
    return max(1, round(mark.width)), max(1, round(mark.height))


@functools.lru_cache(maxsize=256)
def _header(width: int, height: int, channels: int) -> bytes:
    kind = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", kind)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)))


_END = _chunk(b"IEND", b"")
