"""The three markers on a poster: a line of words, triangles in the chart, frames of thumbnails."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import Boxes, Mark, Path, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.bars import chart_place
from micam_fast.diagrams.poster.header import chart_box
from micam_fast.diagrams.poster.markers import Marker
from micam_fast.diagrams.poster.palette import MARKER, SMALL, WHITE, box_path
from micam_fast.diagrams.poster.sheet import HEADER_HEIGHT, HEADER_TOP, MARGIN, NARROW, Sheet

_HALF = 3.5
"""Of a triangle's width."""
_CAPTION_SHARE = 0.62
"""Of the chart's width, beside its own caption."""


def marker_marks(sheet: Sheet, markers: Sequence[Marker]) -> Iterator[Mark]:
    """All that shows the markers; those of one layer stand together."""
    yield _words(sheet, markers)
    thumbs = {thumb.place: thumb.shown for thumb, _ in sheet.layers}
    numbers = {place: number for number, place in enumerate(sheet.order)}
    ordered = sorted(markers, key=lambda each: numbers[each.place])
    joined = {
        place: "".join(each.letter for each in group)
        for place, group in itertools.groupby(ordered, lambda each: each.place)
    }
    for place, letters in joined.items():
        if place in thumbs:
            yield from _frame(thumbs[place], letters, inside=sheet.arrangement.captions)
    yield from _triangles(sheet, {numbers[place]: letters for place, letters in joined.items()})


def _triangles(sheet: Sheet, letters: Mapping[int, str]) -> Iterator[Mark]:
    """Below the chart, by numbers of layers; letters stand where nothing else does."""
    chart = chart_box(sheet)
    y = chart.y + chart.height
    places = [chart_place(sheet, number) for number in letters]
    taken = [(x - _HALF, x + _HALF) for x in places]
    for x, words in zip(places, letters.values(), strict=True):
        corners = ((x, y + 1), (x + _HALF, y + 6.5), (x - _HALF, y + 6.5))
        yield Path(corners, MARKER, 0, filled=True, closed=True)
        width = text_width(words, SMALL)
        steps = (n * (width + 2) for n in range(len(taken) + 1))
        lefts = [left for step in steps for left in (x + 5 + step, x - 5 - width - step)]
        left = next(left for left in lefts if _is_free(left, left + width, taken, sheet.width))
        taken.append((left, left + width))
        yield Text(left, y + 8, words, SMALL, MARKER, bold=True)


def _is_free(left: float, right: float, taken: Sequence[tuple[float, float]], width: float) -> bool:
    inside = right <= width - MARGIN
    return inside and all(right < begin or left > end for begin, end in taken)


def _words(sheet: Sheet, markers: Sequence[Marker]) -> Text:
    blocks = {place: n for n, block in enumerate(sheet.blocks) for place in block.members}
    words = " · ".join(
        f"{each.letter} {each.text} {_named(sheet, each.place, blocks[each.place])}"
        for each in markers
    )
    if sheet.width < NARROW:
        shown = fit_line(words, SMALL, sheet.width - 2 * MARGIN)
        return Text(MARGIN, HEADER_TOP + HEADER_HEIGHT + 4, shown, SMALL, MARKER)
    box = chart_box(sheet)
    shown = fit_line(words, SMALL, _CAPTION_SHARE * box.width)
    x = box.x + box.width - text_width(shown, SMALL)
    return Text(x, box.y - 4, shown, SMALL, MARKER)


def _named(sheet: Sheet, place: int, block: int) -> str:
    """A layer's name, and its card's where the name does not begin with it."""
    name, card = sheet.nodes[place].title, sheet.title(block)
    return name if name.startswith(card) else f"{name} in {card}"


def _frame(box: Box, letters: str, *, inside: bool) -> Iterator[Mark]:
    """A frame around a thumbnail, with the letters above, or inside a large tile."""
    yield box_path(Box(box.x - 1, box.y - 1, box.width + 2, box.height + 2), MARKER, 2.0)
    width = text_width(letters, SMALL)
    x, y = box.x + (box.width - width) / 2, box.y
    if inside:
        x, y = box.x + 4, box.y + 11
    # On the white of the page, as elbows run there.
    yield Boxes(np.array([[x - 1.5, y - 8.5, width + 3, 7.0]]), WHITE)
    yield Text(x, y - 2, letters, SMALL, MARKER, bold=True)
