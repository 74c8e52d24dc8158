"""The font of every picture: Aileron Regular, which comes with Pillow and is free of rights."""

from __future__ import annotations

import functools
import io

from PIL import ImageFont

FAMILY = "Aileron"
_EM = 1000.0


@functools.cache
def font_bytes() -> bytes:
    """The TrueType file."""
    default = ImageFont.load_default(size=12)
    assert isinstance(default, ImageFont.FreeTypeFont)
    return bytes(default.font_bytes)


@functools.cache
def font(size: float) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels; the plain layout engine gives the same glyphs everywhere."""
    return ImageFont.truetype(io.BytesIO(font_bytes()), size, layout_engine=ImageFont.Layout.BASIC)


def text_width(text: str, size: float) -> float:
    """Width of a line in pixels."""
    return float(font(_EM).getlength(drawable(text))) * size / _EM


def drawable(text: str) -> str:
    """The text with escapes for characters that the font does not have."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in _glyphs() else c.encode("unicode_escape").decode() for c in text)


@functools.cache
def _glyphs() -> frozenset[str]:
    """Characters with a glyph of their own: those that do not look like the missing one."""
    wide = font(32)
    missing = wide.getmask("\uffff").getbbox(), bytes(wide.getmask("\uffff"))
    candidates = [chr(code) for code in (*range(0x20, 0x7F), *range(0xA0, 0x180), 0x2026, 0x2122)]
    return frozenset(
        c for c in candidates if (wide.getmask(c).getbbox(), bytes(wide.getmask(c))) != missing
    )
