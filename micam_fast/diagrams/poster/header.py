"""A poster's header: the sample, what the network says of it, the ground of all layers' bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from micam_fast.core.texts import count_of
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import BLACK, INK, RULE, Mark, Path, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.own_picture import own_picture_marks, own_picture_width
from micam_fast.diagrams.poster.palette import NAME, QUIET, SMALL
from micam_fast.diagrams.poster.sheet import (
    HEADER_HEIGHT,
    HEADER_TOP,
    MARGIN,
    NARROW,
    NOTE_LINE,
    Sheet,
)
from micam_fast.diagrams.shown import Shown

_PICTURE = 78.0
_MOST_PICTURE = 0.12
"""Of the page's width."""
_CHART_HEIGHT = 60.0
_LEAST_NAME = 12.0
_LINE_SIZE, _LINE = 11.0, 16.0


def chart_box(sheet: Sheet) -> Box:
    """Where the bars of all layers stand."""
    left = max(0.3 * sheet.width, 330.0)
    return Box(left, HEADER_TOP + 4, sheet.width - MARGIN - left, _CHART_HEIGHT)


def header_marks(sheet: Sheet, caption: str) -> Iterator[Mark]:
    """What all samples share: the chart's ground, its stages, its caption."""
    box = chart_box(sheet)
    yield Path(
        (
            (box.x, box.y), (box.x + box.width, box.y), (box.x + box.width, box.y + box.height),
            (box.x, box.y + box.height),
        ),
        (248, 248, 248), 0, filled=True, closed=True,
    )  # fmt: skip
    yield Text(box.x, box.y - 4, caption, SMALL, QUIET)
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
            yield Text(x, box.y + box.height + 16, stage.title, SMALL, QUIET)
            free = x + width + 6


def note_marks(sheet: Sheet, notes: Sequence[str]) -> Iterator[Text]:
    """Lines below the header, behind that of the markers on a narrow page."""
    room = sheet.width - 2 * MARGIN
    y = HEADER_TOP + HEADER_HEIGHT + 4 + NOTE_LINE * (sheet.width < NARROW)
    for line in notes:
        shown = fit_line(line, SMALL, room)
        yield Text(MARGIN, y, shown, SMALL, QUIET, None if shown == line else line)
        y += NOTE_LINE


def sample_marks(sheet: Sheet, shown: Shown) -> Iterator[Mark]:
    """The sample's own picture, and the lines about it."""
    x, own = MARGIN, shown.own_picture
    if own is not None:
        box = Box(
            MARGIN,
            HEADER_TOP - 2,
            min(own_picture_width(own, _PICTURE), _MOST_PICTURE * sheet.width),
            _PICTURE,
        )
        yield from own_picture_marks(own, box)
        x += box.width + 14
    room = chart_box(sheet).x - x - 44
    title = name_mark(shown.scene.model, x, room)
    yield title
    y = title.y
    label = "" if shown.label is None else f"label {shown.label}"
    lines = [
        (", ".join(filter(None, [shown.sample, label])), INK),
        ("" if shown.prediction is None else shown.prediction.brief("class"), INK),
        (_counts(sheet), QUIET),
    ]
    for line, colour in lines:
        if line:
            y += _LINE
            yield Text(x, y, fit_line(line, _LINE_SIZE, room), _LINE_SIZE, colour)


def name_mark(name: str, x: float, room: float) -> Text:
    """What the page shows, as large as the room lets it be."""
    size = max(_LEAST_NAME, min(NAME, NAME * room / max(1.0, text_width(name, NAME))))
    fitting = fit_line(name, size, room)
    full = None if fitting == name else name
    return Text(x, HEADER_TOP + NAME - 3, fitting, size, BLACK, full, bold=True)


def _counts(sheet: Sheet) -> str:
    """How much the page shows."""
    layers = sum(node.holds for node in sheet.nodes)
    counts = f"{count_of(layers, 'layer')}, {count_of(len(sheet.blocks), 'block')}"
    return f"{counts}; taller than asked for" if sheet.taller else counts
