"""A poster for samples whose maps have the same shapes: what they share, and what each brings."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from micam_fast.diagrams.encoders import PngPage, SvgPage
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import INK, Filling, Hole, Mark, Picture, Template, Text, enlarge
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.numbers import show_range
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.bars import Bars
from micam_fast.diagrams.poster.card_marks import (
    caption_line,
    card_marks,
    frame_marks,
    numbers_line,
)
from micam_fast.diagrams.poster.header import header_marks, sample_marks
from micam_fast.diagrams.poster.marker_marks import marker_marks
from micam_fast.diagrams.poster.markers import find_markers
from micam_fast.diagrams.poster.palette import BODY, NEGATIVE, POSITIVE, QUIET, SMALL
from micam_fast.diagrams.poster.pixels import cells_for, map_pixels
from micam_fast.diagrams.poster.placing import lay_out_sheet
from micam_fast.diagrams.poster.sheet import MARGIN, Sheet
from micam_fast.diagrams.poster.way_marks import elbow_marks, pill_marks
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style
from micam_fast.maps.layer_map import LayerMap

_SVG_LEVEL = 2
"""Of compression: a fifth of the file for a few ms more than 1."""
_DENSITIES = (2.0, 1.75, 1.5, 1.25, 1.0)
"""Pixels of a map to a unit of the page, for formats that enlarge: the first is enough for a screen
of high density."""
_MOST_PIXELS = 430_000
"""Of all maps of a page; a file of so many noisy ones has about 1.4 MB."""


@dataclass(frozen=True)
class _Shown:
    """A map on the page: of which layer, and where."""

    layer: str
    box: Box


class PosterTemplate:
    """A page for samples whose maps have the same shapes.

    Parameters
    ----------
    nodes
        What is drawn, in the diagram's order.
    maps
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

    def __init__(
        self,
        nodes: Sequence[Node],
        maps: Mapping[str, LayerMap],
        *,
        model: str,
        input_size: tuple[int, int],
        style: Style,
        scale: float = 1.0,
    ) -> None:
        self.sheet = sheet = lay_out_sheet(nodes, maps, style.page, input_size)
        self._scale = scale
        keys = [node.key for node in nodes]
        self._pictures = [
            _Shown(keys[each.place], each.shown)
            for card in sheet.cards
            for each in (*card.tiles, *card.all_thumbs)
            if keys[each.place] in maps
        ]
        exits = [maps.get(nodes[block.exit].key) for block in sheet.blocks]
        channels = [None if found is None else found.channels for found in exits]
        below = [
            *header_marks(sheet),
            *card_marks(sheet, channels),
            *elbow_marks(sheet),
            *sheet.legend.marks(MARGIN, sheet.height),
        ]
        whole = Hole(0, 0, sheet.width, sheet.height)
        marks = (*below, whole, *frame_marks(sheet), *pill_marks(sheet), whole)
        self.blank = Template(sheet.width, sheet.height, marks, model, dpi=96).enlarged(scale)
        self._density = scale if scale > 1 else _density([each.box for each in self._pictures])
        self._bars = Bars(sheet)
        self._lock = threading.Lock()
        self._png: PngPage | None = None

    @functools.cached_property
    def svg(self) -> SvgPage:
        """The template as pieces of SVG."""
        return SvgPage(self.blank, _SVG_LEVEL)

    @property
    def png(self) -> PngPage:
        """The template as pixels; one thread draws them for all."""
        with self._lock:
            if self._png is None:
                self._png = PngPage(self.blank)
            return self._png

    def fillings(self, shown: Shown) -> list[Filling]:
        """What a sample brings, in the order of the template's holes."""
        return [
            functools.partial(self._maps, shown.maps),
            functools.partial(self._words, shown),
        ]

    def _words(self, shown: Shown) -> tuple[Mark, ...]:
        return tuple(enlarge(mark, self._scale) for mark in self._numbers(shown))

    def _maps(self, maps: Mapping[str, LayerMap]) -> tuple[Mark, ...]:
        density = self._density
        pictures = (
            Picture(
                each.box.x, each.box.y, each.box.width, each.box.height,
                map_pixels(maps[each.layer], cells_for(each.box, density)), each.layer,
            )
            for each in self._pictures
        )  # fmt: skip
        return tuple(enlarge(mark, self._scale) for mark in pictures)

    def _numbers(self, shown: Shown) -> Iterator[Mark]:
        """Words, bars and markers."""
        sheet, maps = self.sheet, shown.maps
        yield from sample_marks(sheet, shown)
        yield from _card_numbers(sheet, maps)
        yield from self._bars.marks(maps)
        yield from marker_marks(sheet, find_markers(sheet.nodes, maps))


def _density(boxes: Sequence[Box]) -> float:
    """Pixels to a unit of the page, so that a file of very many maps stays small."""
    for density in _DENSITIES:
        if sum(math.prod(cells_for(box, density)) for box in boxes) <= _MOST_PIXELS:
            return density
    return _DENSITIES[-1]


def _captions(sheet: Sheet, maps: Mapping[str, LayerMap]) -> Iterator[Mark]:
    """Smallest and largest value of each card's only layer."""
    for card in sheet.cards:
        found = maps.get(sheet.nodes[card.tiles[0].place].key)
        if found is not None and found.bad_values is None:
            words = " … ".join(show_range(found.minimum, found.maximum))
            yield Text(card.x, caption_line(card, 1), words, BODY, INK)


def _card_numbers(sheet: Sheet, maps: Mapping[str, LayerMap]) -> Iterator[Mark]:
    """Largest and smallest value of the main tile, beside it or below the title."""
    if sheet.arrangement.captions:
        yield from _captions(sheet, maps)
        return
    for card in sheet.cards if sheet.arrangement.numbers else ():
        found = maps.get(sheet.nodes[card.tiles[0].place].key)
        if found is None or found.bad_values is not None or len(card.tiles) > 1:
            continue
        low, high = show_range(found.minimum, found.maximum)
        if sheet.arrangement.numbers == "line":
            words = f"{low} … {high}"
            if text_width(words, SMALL) <= card.width:
                yield Text(card.x, numbers_line(card), words, SMALL, QUIET)
            continue
        x, y = card.room.x + card.room.width + 5, card.tiles[0].shown.y + SMALL
        for word, value, shown in (("max", found.maximum, high), ("min", found.minimum, low)):
            yield Text(x, y, word, SMALL, QUIET)
            colour = POSITIVE if value > 0 else NEGATIVE if value < 0 else INK
            yield Text(x, y + BODY + 1, shown, BODY, colour)
            y += 2 * BODY + 6
