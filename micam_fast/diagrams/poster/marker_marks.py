"""The three markers on a poster: a line of words, triangles in the chart, frames of thumbnails."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import Mark, Path, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.bars import chart_place
from micam_fast.diagrams.poster.card_marks import box_path
from micam_fast.diagrams.poster.header import chart_box
from micam_fast.diagrams.poster.markers import Marker
from micam_fast.diagrams.poster.palette import MARKER, SMALL
from micam_fast.diagrams.poster.sheet import HEADER_HEIGHT, HEADER_TOP, MARGIN, NARROW, Sheet

_CAPTION_SHARE = 0.62
"""Of the chart's width, beside its own caption."""


def marker_marks(sheet: Sheet, markers: Sequence[Marker]) -> Iterator[Mark]:
    """All that shows the markers; those of one layer stand together."""
    yield _words(sheet, markers)
    thumbs = {thumb.place: thumb.shown for thumb, _ in sheet.layers}
    numbers = {place: number for number, place in enumerate(sheet.order)}
    ordered = sorted(markers, key=lambda each: numbers[each.place])
    chart = chart_box(sheet)
    for place, group in itertools.groupby(ordered, lambda each: each.place):
        letters = "".join(each.letter for each in group)
        if place in thumbs:
            yield from _frame(thumbs[place], letters)
        x, y = chart_place(sheet, numbers[place]), chart.y + chart.height
        corners = ((x, y + 1), (x + 3.5, y + 6.5), (x - 3.5, y + 6.5))
        yield Path(corners, MARKER, 0, filled=True, closed=True)
        room = sheet.width - MARGIN - text_width(letters, SMALL)
        yield Text(min(x + 5, room), y + 8, letters, SMALL, MARKER, bold=True)


def _words(sheet: Sheet, markers: Sequence[Marker]) -> Text:
    words = " · ".join(
        f"{each.letter} {each.text} {sheet.nodes[each.place].title}" for each in markers
    )
    if sheet.width < NARROW:
        shown = fit_line(words, SMALL, sheet.width - 2 * MARGIN)
        return Text(MARGIN, HEADER_TOP + HEADER_HEIGHT + 4, shown, SMALL, MARKER)
    box = chart_box(sheet)
    shown = fit_line(words, SMALL, _CAPTION_SHARE * box.width)
    x = box.x + box.width - text_width(shown, SMALL)
    return Text(x, box.y - 4, shown, SMALL, MARKER)


def _frame(box: Box, letters: str) -> Iterator[Mark]:
    """A frame around a thumbnail, with the letters above."""
    yield box_path(Box(box.x - 1, box.y - 1, box.width + 2, box.height + 2), MARKER, 2.0)
    x = box.x + (box.width - text_width(letters, SMALL)) / 2
    yield Text(x, box.y - 2, letters, SMALL, MARKER, bold=True)
