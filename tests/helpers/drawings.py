"""A drawing with all kinds of marks, text that no file may stumble over, pixels of a PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from micam_fast.diagrams.encoders import write_png
from micam_fast.diagrams.marks import DPI, Boxes, Drawing, Mark, Path, Picture, Plane, Text
from tests.helpers.pictures import Bytes

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<a href=\"x\">&amp; 'q' ]]> \x00\x07\x1b\x7f \ud800 \udfff \ufffe \n\t é 日 🙂 </text>"


def sheet(
    *marks: Mark, width: float = 300, height: float = 200, title: str = "", dpi: float = DPI
) -> Drawing:
    return Drawing(width, height, marks, title, dpi)


def everything() -> Drawing:
    """All kinds of marks, some of them over the edges."""
    rng = np.random.default_rng(1)
    curve = ((20.0, 5.0), (20.0, 80.0), (250.5, 60.2), (250.5, 190.7))
    return sheet(
        Path(((10.0, 10.0), (290.0, 10.0), (290.0, 190.0), (10.0, 190.0)), closed=True),
        Picture(30, 17, 90, 60, rng.integers(0, 256, (20, 30, 4), np.uint8)),
        Picture(150, 140, 64, 64, rng.integers(0, 256, (64, 64, 3), np.uint8)),
        Path(curve, curved=True),
        Path(((250.0, 190.0), (245.0, 175.0), (255.0, 175.0)), filled=True, closed=True),
        Path(((-50.0, 40.3), (400.0, 133.3)), width=3.0),
        Plane((200, 20), (80, 35), (-60, 40), rng.integers(0, 256, (5, 7, 4), np.uint8)),
        Plane((270.5, 100), (90, -30), (10, 60), rng.integers(0, 256, (9, 9, 3), np.uint8)),
        Boxes(np.array([(5.25, 150, 6.5, 40.75), (11.75, 170, 6, 90), (-9, 99.5, 20, 0.3)])),
        *(Text(5 + 20 * line, 20.0 * line, f"Line Ágj {line}", 11 + line) for line in range(11)),
        Text(10, 60, "cut to f…", 13, full="cut to fit"),
        Text(10, 80, "bold é", 13, bold=True),
        title="everything",
    )


def pixels_of(drawing: Drawing) -> Bytes:
    file = io.BytesIO()
    write_png(drawing, file)
    with Image.open(file) as image:
        assert image.mode == "RGB"
        return np.asarray(image)
