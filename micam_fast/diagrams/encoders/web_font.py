"""The font as a data URL, for a file to carry it: WOFF, the packed form that browsers read."""

from __future__ import annotations

import base64
import functools
import struct
import zlib

from micam_fast.core.digests import short_digest
from micam_fast.diagrams.encoders.fonts import font_bytes

# What a browser needs to draw glyphs one after the other. Without GPOS and GSUB there is neither
# kerning nor a ligature, which `text_width` does not know.
_TABLES = (
    b"OS/2", b"cmap", b"glyf", b"head", b"hhea", b"hmtx", b"loca", b"maxp", b"name", b"post",
)  # fmt: skip
_HEADER = ">4s4sIHHIHHIIIII"
_ENTRY = ">4sIIII"


@functools.cache
def web_family() -> str:
    """The family's name, by its content: it stands for this font alone wherever files meet."""
    return f"micam-{short_digest(_woff(), 6)}"


@functools.cache
def font_face() -> str:
    """The rule of CSS that brings the font."""
    data = base64.b64encode(_woff()).decode()
    return f"@font-face{{font-family:{web_family()};src:url(data:font/woff;base64,{data})}}"


@functools.cache
def _woff() -> bytes:
    """WOFF 1.0, W3C Recommendation of 13 December 2012: each table by itself through zlib."""
    font = font_bytes()
    (count,) = struct.unpack_from(">H", font, 4)
    rows = [struct.unpack_from(">4sIII", font, 12 + 16 * n) for n in range(count)]
    rows = [row for row in rows if row[0] in _TABLES]
    begin = struct.calcsize(_HEADER) + len(rows) * struct.calcsize(_ENTRY)
    whole = 12 + 16 * len(rows)
    entries: list[bytes] = []
    tables: list[bytes] = []
    for tag, checksum, offset, length in rows:
        table = font[offset : offset + length]
        # A table that would not be shorter stands as it is.
        packed = min(zlib.compress(table, 9), table, key=len)
        entries.append(struct.pack(_ENTRY, tag, begin, len(packed), length, checksum))
        tables.append(packed + bytes(-len(packed) % 4))
        begin += len(tables[-1])
        whole += length + -length % 4
    header = struct.pack(
        _HEADER, b"wOFF", font[:4], begin, len(rows), 0, whole, 1, 0, 0, 0, 0, 0, 0
    )
    return b"".join((header, *entries, *tables))
