"""How much of each pixel a line of text covers.

Drawn oversampled: small sizes keep their spacing, which hinting would spoil. Pillow renders each
glyph of ASCII once for each size; lines are set from these, ten times as fast as Pillow does.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from micam_fast._loops.stamps import ADVANCE, OVERSAMPLING, set_line
from micam_fast.diagrams.encoders.fonts import drawable, font
from micam_fast.diagrams.marks import Text

_FIRST, _LAST = 0x20, 0x7E


def text_cover(mark: Text) -> tuple[int, int, NDArray[np.uint8]]:
    """Coverage of a line of text, 0 to 255.

    Returns
    -------
    int, int
        Where its corner lies, in whole pixels.
    (height, width) uint8
        The coverage; both sides may be zero.
    """
    shown = drawable(mark.text)
    x, y = round(mark.x * OVERSAMPLING), round(mark.y * OVERSAMPLING)
    # To either side of the outlines, as Pillow counts.
    stroke = mark.pen * OVERSAMPLING / 2
    if not shown.isascii():
        return _drawn(shown, font(mark.size * OVERSAMPLING), stroke, x, y)
    glyphs = _glyphs(mark.size * OVERSAMPLING, stroke)
    width = sum(map(glyphs.advances.__getitem__, shown))
    left, upper, right, lower = (
        (x + glyphs.left) // OVERSAMPLING,
        (y + glyphs.top) // OVERSAMPLING,
        -((-x - width - glyphs.right) // OVERSAMPLING),
        -((-y - glyphs.bottom) // OVERSAMPLING),
    )
    cover = np.empty((lower - upper, right - left), np.uint8)
    set_line(
        np.frombuffer(shown.encode(), np.uint8) - np.uint8(_FIRST),
        glyphs.table,
        glyphs.masks,
        x - left * OVERSAMPLING,
        y - upper * OVERSAMPLING,
        cover,
    )
    return left, upper, cover


@dataclass(frozen=True, eq=False)
class _Glyphs:
    """The glyphs of ASCII in one size and weight.

    Attributes
    ----------
    table, masks
        As `set_line` takes them.
    advances
        How far each character moves the pen. The font has no kerning.
    left, right
        How far glyphs reach to the left of the pen, and to the right of where they move it.
    top, bottom
        How far they reach above (negative) and below the baseline.
    """

    table: NDArray[np.int64]
    masks: NDArray[np.uint8]
    advances: dict[str, int]
    left: int
    right: int
    top: int
    bottom: int


@functools.lru_cache(maxsize=32)
def _glyphs(size: float, stroke: float) -> _Glyphs:
    face = font(size)
    rows: list[tuple[int, ...]] = []
    masks: list[bytes] = []
    begin = 0
    for character in map(chr, range(_FIRST, _LAST + 1)):
        left, top, mask = _glyph(character, face, stroke)
        height, width = mask.shape
        rows.append((begin, width, height, left, top, round(face.getlength(character))))
        masks.append(mask.tobytes())
        begin += mask.size
    table = np.array(rows, np.int64)
    _, widths, heights, lefts, tops, advances = table.T
    return _Glyphs(
        table,
        np.frombuffer(b"".join(masks), np.uint8),
        {chr(_FIRST + code): int(advance) for code, advance in enumerate(table[:, ADVANCE])},
        int(lefts.min()),
        int((lefts + widths - advances).max()),
        int(tops.min()),
        int((tops + heights).max()),
    )


def _glyph(
    character: str, face: ImageFont.FreeTypeFont, stroke: float
) -> tuple[int, int, NDArray[np.uint8]]:
    """Where a glyph lies from the pen, and what it covers."""
    left, top, right, bottom = _box(character, face, stroke)
    mask = _inked(character, face, stroke, (right - left, bottom - top), (-left, -top))
    return left, top, np.asarray(mask)


def _drawn(
    shown: str, face: ImageFont.FreeTypeFont, stroke: float, x: int, y: int
) -> tuple[int, int, NDArray[np.uint8]]:
    """Set any line, by Pillow."""
    box = _box(shown, face, stroke)
    left = math.floor((x + box[0]) / OVERSAMPLING)
    upper = math.floor((y + box[1]) / OVERSAMPLING)
    right = math.ceil((x + box[2]) / OVERSAMPLING) + 1
    lower = math.ceil((y + box[3]) / OVERSAMPLING) + 1
    size = (right - left) * OVERSAMPLING, (lower - upper) * OVERSAMPLING
    mask = _inked(shown, face, stroke, size, (x - left * OVERSAMPLING, y - upper * OVERSAMPLING))
    return left, upper, np.asarray(mask.reduce(OVERSAMPLING))


def _box(shown: str, face: ImageFont.FreeTypeFont, stroke: float) -> tuple[int, int, int, int]:
    """How far a line reaches to the left of the pen, above the baseline, and so on."""
    left, top, right, bottom = face.getbbox(shown, anchor="ls", stroke_width=math.ceil(stroke))
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)


def _inked(
    shown: str,
    face: ImageFont.FreeTypeFont,
    stroke: float,
    size: tuple[int, int],
    place: tuple[int, int],
) -> Image.Image:
    """What a line covers of an image, with so much to either side of its outlines."""
    # Pillow cuts off parts of a pixel of the pen: the mean of two whole ones is drawn.
    thin, thick = Image.new("L", size), Image.new("L", size)
    for mask, width in ((thin, math.floor(stroke)), (thick, math.ceil(stroke))):
        pen = ImageDraw.Draw(mask)
        pen.text(place, shown, fill=255, font=face, anchor="ls", stroke_width=width)
        if width == stroke:
            return mask
    return Image.blend(thin, thick, stroke % 1)
