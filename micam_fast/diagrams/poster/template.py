"""A poster for samples whose maps have the same shapes: what they share, and what each brings."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.encoders.encoded import Encoded
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import INK, Filling, Hole, Mark, Picture, Template, Text, enlarge
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.planes import plane_in
from micam_fast.diagrams.poster.bars import Bars
from micam_fast.diagrams.poster.card_marks import (
    NUMBERS_LENGTH,
    caption_line,
    card_marks,
    frame_marks,
    numbers_line,
)
from micam_fast.diagrams.poster.content import Content
from micam_fast.diagrams.poster.header import header_marks, note_marks
from micam_fast.diagrams.poster.marker_marks import marker_marks
from micam_fast.diagrams.poster.palette import BODY, QUIET, SMALL
from micam_fast.diagrams.poster.pixels import cells_for
from micam_fast.diagrams.poster.placing import lay_out_sheet
from micam_fast.diagrams.poster.sheet import CAPTION_BAR, MARGIN, Card, Sheet, Thumb
from micam_fast.diagrams.poster.way_marks import elbow_marks, pill_marks
from micam_fast.diagrams.style import Style

_DENSITIES = (2.0, 1.75, 1.5, 1.25, 1.0)
"""Pixels of a map to a unit of the page, for formats that enlarge: the first is enough for a screen
of high density."""
_MOST_PIXELS = 430_000
"""Of all maps of a page; a file of so many noisy ones has about 1.4 MB."""


_CHANNELS = 36.0
"""Width of the number of channels, with a gap."""


@dataclass(frozen=True)
class _Shown:
    """A map on the page: of which layer, which of its maps, and where."""

    layer: str
    pane: int
    box: Box
    title: str
    plane: bool

    def draw(self, pixels: NDArray[np.uint8]) -> Mark:
        """The map in its place."""
        box = self.box
        if self.plane:
            return plane_in(box, pixels, self.title)
        return Picture(box.x, box.y, box.width, box.height, pixels, self.title)


class PosterTemplate(Encoded):
    """A page for samples whose maps have the same shapes.

    Parameters
    ----------
    nodes
        What is drawn, in the diagram's order.
    content
        Of any of the samples.
    model
        The model's name.
    input_size
        ``(Hin, Win)``.
    style
        How it looks.
    scale
        Pixels to a unit of the page, 1/96 inch.

    Attributes
    ----------
    blank
        What all samples share, with holes for the rest.
    sheet
        Where everything stands, in units of the page.
    """

    # A fifth of the file for a few ms more than 1.
    _svg_level = 2

    def __init__(
        self,
        nodes: Sequence[Node],
        content: Content,
        *,
        model: str,
        input_size: tuple[int, int],
        style: Style,
        scale: float = 1.0,
    ) -> None:
        self.sheet = sheet = lay_out_sheet(
            nodes, content, style.page, input_size, style.look_for(input_size, poster=True)
        )
        self._scale = scale
        maps = content.maps
        keys = [node.key for node in nodes]
        self._pictures = [
            _shown(keys[each.place], each, content.captions)
            for card in sheet.cards
            for each in (*card.tiles, *card.all_thumbs)
            if keys[each.place] in maps
        ]
        exits = [maps.get(nodes[block.exit].key) for block in sheet.blocks]
        channels = [None if found is None else found.channels for found in exits]
        below = [
            *header_marks(sheet, content.chart_caption),
            *card_marks(sheet, channels),
            *elbow_marks(sheet),
            *sheet.legend.marks(MARGIN, sheet.height),
        ]
        whole = Hole(0, 0, sheet.width, sheet.height)
        frames = frame_marks(sheet, outlined=content.outlined)
        marks = (*below, whole, *frames, *pill_marks(sheet), whole)
        blank = Template(sheet.width, sheet.height, marks, model, dpi=96)
        super().__init__(blank.enlarged(scale))
        self._density = scale if scale > 1 else _density([each.box for each in self._pictures])
        self._bars = Bars(sheet)

    def fillings(self, content: Content) -> list[Filling]:
        """What a sample brings, in the order of the template's holes."""
        return [
            functools.partial(self._maps, content),
            functools.partial(self._words, content),
        ]

    def _words(self, content: Content) -> tuple[Mark, ...]:
        return tuple(enlarge(mark, self._scale) for mark in self._numbers(content))

    def _maps(self, content: Content) -> tuple[Mark, ...]:
        pictures = (
            each.draw(content.pixels(each.layer, each.pane, cells_for(each.box, self._density)))
            for each in self._pictures
        )
        return tuple(enlarge(mark, self._scale) for mark in pictures)

    def _numbers(self, content: Content) -> Iterator[Mark]:
        """Words, bars and markers."""
        sheet = self.sheet
        yield from content.header(sheet)
        yield from note_marks(sheet, content.notes)
        yield from _card_numbers(sheet, content)
        yield from self._bars.marks(content)
        yield from marker_marks(sheet, content.markers(sheet.nodes))


def _shown(layer: str, thumb: Thumb, captions: Sequence[str]) -> _Shown:
    title = f"{layer}: {captions[thumb.pane]}" if captions else layer
    return _Shown(layer, thumb.pane, thumb.shown, title, thumb.plane)


def _density(boxes: Sequence[Box]) -> float:
    """Pixels to a unit of the page, so that a file of very many maps stays small."""
    for density in _DENSITIES:
        if sum(math.prod(cells_for(box, density)) for box in boxes) <= _MOST_PIXELS:
            return density
    return _DENSITIES[-1]


def _captions(sheet: Sheet, content: Content) -> Iterator[Mark]:
    """The numbers of each card's only layer."""
    for card in sheet.cards:
        words = content.caption(sheet.nodes[card.tiles[0].place].key)
        shown = fit_line(words, BODY, card.width - CAPTION_BAR - 3) if words else ""
        yield Text(card.x, caption_line(card, 1), shown, BODY, INK)


def _card_numbers(sheet: Sheet, content: Content) -> Iterator[Mark]:
    """Numbers of the main tile, beside it or below the title."""
    if sheet.arrangement.captions:
        yield from _captions(sheet, content)
        return
    for card in sheet.cards if sheet.arrangement.numbers else ():
        if card.entry.count > 1:
            continue
        layer = sheet.nodes[card.tiles[0].place].key
        if sheet.arrangement.numbers == "line":
            yield from _numbers_below(card, content.caption(layer))
            continue
        x, y = card.room.x + card.room.width + 5, card.tiles[0].shown.y + SMALL
        for word, number, colour in content.numbers(layer):
            yield Text(x, y, word, SMALL, QUIET)
            yield Text(x, y + BODY + 1, number, BODY, colour)
            y += 2 * BODY + 6


def _numbers_below(card: Card, words: str) -> Iterator[Text]:
    """A line below the title; a sentence is cut where the number of channels may stand."""
    if text_width(words, SMALL) > NUMBERS_LENGTH:
        words = fit_line(words, SMALL, card.width - _CHANNELS)
    if text_width(words, SMALL) <= card.width:
        yield Text(card.x, numbers_line(card), words, SMALL, QUIET)
