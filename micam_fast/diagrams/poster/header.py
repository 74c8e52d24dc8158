"""A poster's header and footer: what the network is, the bars of all layers, the legend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.core.texts import count_of
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import RULE, Mark, Path, Picture, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.kinds import legend_letters
from micam_fast.diagrams.poster.own_picture import own_picture_width
from micam_fast.diagrams.poster.palette import NEGATIVE, POSITIVE, QUIET, SMALL
from micam_fast.diagrams.poster.sheet import FOOTER_HEIGHT, HEADER_TOP, MARGIN, Sheet
from micam_fast.samples import OwnPicture

_PICTURE = 78.0
_CHART_HEIGHT = 60.0


def picture_box(picture: OwnPicture) -> Box:
    """Where the sample's own picture stands."""
    return Box(MARGIN, HEADER_TOP - 2, own_picture_width(picture, _PICTURE), _PICTURE)


def chart_box(sheet: Sheet) -> Box:
    """Where the bars of all layers stand."""
    left = max(0.3 * sheet.width, 330.0)
    return Box(left, HEADER_TOP + 4, sheet.width - MARGIN - left, _CHART_HEIGHT)


def header_marks(sheet: Sheet) -> Iterator[Mark]:
    """What all samples share: the chart's ground, its stages, its caption."""
    box = chart_box(sheet)
    yield Path(
        (
            (box.x, box.y), (box.x + box.width, box.y), (box.x + box.width, box.y + box.height),
            (box.x, box.y + box.height),
        ),
        (248, 248, 248), 0, filled=True, closed=True,
    )  # fmt: skip
    yield Text(
        box.x, box.y - 4, "smallest and largest value of every layer, in the order of the page",
        SMALL, QUIET,
    )  # fmt: skip
    step = box.width / len(sheet.nodes)
    counts = [len(block.members) for block in sheet.blocks]
    begins = np.concatenate([[0], np.cumsum(counts)]) * step + box.x
    free = box.x
    for stage in sheet.stages:
        left, right = float(begins[stage.first]), float(begins[stage.end])
        if stage.first:
            yield Path(((left, box.y), (left, box.y + box.height + 4)), RULE, 0.8)
        width = text_width(stage.title, SMALL)
        x = (left + right - width) / 2
        if x >= free and right - left >= width - 4:
            yield Text(x, box.y + box.height + 12, stage.title, SMALL, QUIET)
            free = x + width + 6


def counts_line(sheet: Sheet) -> str:
    """How much the page shows."""
    layers = sum(node.holds for node in sheet.nodes)
    return f"{count_of(layers, 'layer')}, {count_of(len(sheet.blocks), 'block')}"


def footer_marks(sheet: Sheet) -> Iterator[Mark]:
    """The legend."""
    y = sheet.height - FOOTER_HEIGHT / 2 + 3
    x = MARGIN

    def text(words: str, gap: float = 5.0) -> Text:
        nonlocal x
        mark = Text(x, y, words, SMALL, QUIET)
        x += text_width(words, SMALL) + gap
        return mark

    def bar(low: float, high: float, width: float) -> Iterator[Mark]:
        nonlocal x
        yield Picture(x, y - 7, width, 8, _ramp(low, high, 96))
        x += width + 5

    yield text("smallest")
    yield from bar(-1, 1, 70)
    yield text("largest value of that layer, dark blue is 0", 30)
    yield text("0")
    yield from bar(0, 1, 40)
    yield text("largest where no value is negative", 30)
    for colour, top, bottom in ((POSITIVE, -8.0, -3.5), (NEGATIVE, -3.5, 1.0)):
        corners = ((x, y + top), (x + 4, y + top), (x + 4, y + bottom), (x, y + bottom))
        yield Path(corners, colour, 0, filled=True, closed=True)
    x += 9
    yield text("each layer from smallest to largest, one scale on the page", 30)
    letters = legend_letters()
    if x + text_width(letters, SMALL) <= sheet.width - MARGIN:
        yield text(letters)


def _ramp(low: float, high: float, cells: int) -> NDArray[np.uint8]:
    values = np.linspace(low, high, cells).astype(np.float32)
    colours = np.empty((cells, 4), np.uint8)
    whole = np.array([[0, cells]], np.int64)
    colour_maps(whole, values, np.array([[low, high]], float), -1.0, 1.0, colours)
    return np.ascontiguousarray(colours[np.newaxis, :, :3])
