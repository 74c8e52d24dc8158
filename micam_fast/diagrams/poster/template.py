"""A poster for samples whose maps have the same shapes: what they share, and what each brings."""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.encoders import PngPage, SvgPage
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import (
    BLACK,
    INK,
    RULE,
    Boxes,
    Filling,
    Hole,
    Mark,
    Path,
    Picture,
    Template,
    Text,
    enlarge,
)
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.arrangement import NUMBERS_WIDTH
from micam_fast.diagrams.poster.card_marks import box_path, card_marks, frame_marks
from micam_fast.diagrams.poster.header import (
    chart_box,
    counts_line,
    footer_marks,
    header_marks,
    text_left,
)
from micam_fast.diagrams.poster.markers import Marker, find_markers
from micam_fast.diagrams.poster.palette import (
    BODY,
    LINE,
    MARKER,
    NAME,
    NEGATIVE,
    PALE_NEGATIVE,
    PALE_POSITIVE,
    POSITIVE,
    QUIET,
    SMALL,
)
from micam_fast.diagrams.poster.pixels import cells_for, fitted, map_pixels
from micam_fast.diagrams.poster.scale import BarScale
from micam_fast.diagrams.poster.sheet import (
    HEADER_HEIGHT,
    HEADER_TOP,
    MARGIN,
    NARROW,
    Sheet,
    bar_box,
    lay_out_sheet,
)
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style
from micam_fast.maps.layer_map import LayerMap

_DENSITY = 2.0
"""Pixels of a map to a unit of the page: enough for a screen of high density."""
_LEAST_BAR = 0.8
_TICKS = 5


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
        aspect = min(max(input_size[1] / input_size[0], 0.5), 4.0)
        self.sheet = sheet = lay_out_sheet(nodes, maps, style.page, aspect)
        self._scale = scale
        self._pictures = list(_picture_places(sheet, maps))
        exits = [maps.get(nodes[block.exit].key) for block in sheet.blocks]
        channels = [None if found is None else found.channels for found in exits]
        below = [*header_marks(sheet), *card_marks(sheet, channels), *footer_marks(sheet)]
        whole = Hole(0, 0, sheet.width, sheet.height)
        marks = (*below, whole, *frame_marks(sheet), whole)
        self.blank = Template(sheet.width, sheet.height, marks, model, dpi=96).enlarged(scale)
        self._layers = [sheet.nodes[place].key for place in sheet.order]
        self._bars = _bar_rooms(sheet)
        self._lock = threading.Lock()
        self._png: PngPage | None = None

    @functools.cached_property
    def svg(self) -> SvgPage:
        """The template as pieces of SVG."""
        return SvgPage(self.blank)

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
        density = self._scale if self._scale > 1 else _DENSITY
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
        markers = find_markers(sheet.nodes, maps)
        yield from self._header_lines(shown, markers)
        yield from _card_numbers(sheet, maps)
        yield from self._bar_marks(maps)
        yield from self._marker_marks(markers)

    def _header_lines(self, shown: Shown, markers: Sequence[Marker]) -> Iterator[Mark]:
        sheet = self.sheet
        x, room = text_left(False), chart_box(sheet).x - text_left(False) - 20
        lines = [shown.scene.model, shown.sample, str(shown.prediction or ""), counts_line(sheet)]
        if shown.label is not None:
            lines[1] += f", label {shown.label}"
        y = HEADER_TOP + NAME - 3
        size = _name_size(lines[0], room)
        yield Text(x, y, fit_line(lines[0], size, room), size, BLACK, bold=True)
        for line, colour in zip(lines[1:], (INK, INK, QUIET), strict=True):
            y += BODY + 6
            if line:
                yield Text(x, y, fit_line(line, BODY + 1, room), BODY + 1, colour)
        words = " · ".join(
            f"{each.letter} {each.text} {sheet.nodes[each.place].title}" for each in markers
        )
        box = chart_box(sheet)
        if sheet.width < NARROW:
            words = fit_line(words, SMALL, sheet.width - 2 * MARGIN)
            yield Text(MARGIN, HEADER_TOP + HEADER_HEIGHT + 4, words, SMALL, MARKER)
        else:
            right = box.x + box.width
            words = fit_line(words, SMALL, 0.62 * box.width)
            yield Text(right - text_width(words, SMALL), box.y - 4, words, SMALL, MARKER)

    def _bar_marks(self, maps: Mapping[str, LayerMap]) -> Iterator[Mark]:
        nan = math.nan
        inputs = np.array([self.sheet.nodes[p].layer.op_type == "Input" for p in self.sheet.order])
        ranges = np.array(
            [
                (maps[name].minimum, maps[name].maximum) if name in maps else (nan, nan)
                for name in self._layers
            ]
        )
        scale = BarScale.of(ranges[~inputs])
        zero = float(scale.places(np.zeros(1))[0])
        low, high = scale.places(ranges).T
        chart = chart_box(self.sheet)
        step = chart.width / len(self._layers)
        lefts = chart.x + step * np.arange(len(self._layers)) + 0.09 * step
        header = np.stack(
            [
                lefts, np.full(len(lefts), chart.y), np.full(len(lefts), 0.82 * step),
                np.full(len(lefts), chart.height),
            ],
            axis=1,
        )  # fmt: skip
        yield from _tick_marks(scale, chart)
        yield Boxes(_zero_lines(self.sheet, zero), LINE)
        for rooms in (self._bars, header):
            pieces = _signed_boxes(rooms, low, high, zero)
            for colour, boxes in zip(
                (POSITIVE, NEGATIVE, PALE_POSITIVE, PALE_NEGATIVE),
                [part[which] for which in (~inputs, inputs) for part in pieces],
                strict=True,
            ):
                yield Boxes(boxes[np.isfinite(boxes).all(axis=1) & (boxes[:, 3] > 0)], colour)

    def _marker_marks(self, markers: Sequence[Marker]) -> Iterator[Mark]:
        sheet = self.sheet
        thumbs = {thumb.place: thumb.box for card in sheet.cards for thumb in card.thumbs}
        chart = chart_box(sheet)
        step = chart.width / len(self._layers)
        order = {place: number for number, place in enumerate(sheet.order)}
        for place, group in itertools.groupby(
            sorted(markers, key=lambda each: order[each.place]), lambda each: each.place
        ):
            letters = "".join(each.letter for each in group)
            box = thumbs[place]
            yield box_path(Box(box.x - 1, box.y - 1, box.width + 2, box.height + 2), MARKER, 2.0)
            width = text_width(letters, SMALL)
            yield Text(
                box.x + (box.width - width) / 2, box.y - 2, letters, SMALL, MARKER, bold=True
            )
            x, y = chart.x + (order[place] + 0.5) * step, chart.y + chart.height
            yield Path(
                ((x, y + 1), (x + 3.5, y + 6.5), (x - 3.5, y + 6.5)), MARKER, 0, filled=True,
                closed=True,
            )  # fmt: skip
            yield Text(x + 5, y + 8, letters, SMALL, MARKER, bold=True)


def _name_size(name: str, room: float) -> float:
    """The size of the model's name: smaller where it is long."""
    return max(12.0, min(NAME, NAME * room / max(1.0, text_width(name, NAME))))


def _picture_places(sheet: Sheet, maps: Mapping[str, LayerMap]) -> Iterator[_Shown]:
    for card in sheet.cards:
        exit_key = sheet.nodes[sheet.blocks[card.block].exit].key
        if exit_key in maps:
            yield _Shown(exit_key, fitted(maps[exit_key].cam.shape[:2], card.tile))
        for thumb in card.thumbs:
            key = sheet.nodes[thumb.place].key
            if key in maps:
                yield _Shown(key, fitted(maps[key].cam.shape[:2], thumb.box))


def _bar_rooms(sheet: Sheet) -> NDArray[np.float64]:
    """``(layers, 4)``: room of each layer's bar, in the order of the page."""
    rooms = [bar_box(sheet.arrangement, thumb) for card in sheet.cards for thumb in card.thumbs]
    return np.array([(each.x, each.y, each.width, each.height) for each in rooms])


def _zero_lines(sheet: Sheet, zero: float) -> NDArray[np.float64]:
    """A thin line at zero through each line of bars."""
    found: dict[tuple[float, float], float] = {}
    for card in sheet.cards:
        for thumb in card.thumbs:
            room = bar_box(sheet.arrangement, thumb)
            key = card.x, room.y + (1 - zero) * room.height - 0.25
            found[key] = room.x + room.width
    return np.array([(x, y, right - x, 0.5) for (x, y), right in found.items()])


def _signed_boxes(
    rooms: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], zero: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The parts of bars above zero and below it; a part that is not there has no height."""
    x, y, width, height = rooms.T
    parts = []
    for there, bound in ((high > zero, np.maximum), (low < zero, np.minimum)):
        begin, end = bound(low, zero), bound(high, zero)
        top, bottom = y + (1 - end) * height, y + (1 - begin) * height
        tall = np.where(there, np.maximum(bottom - top, _LEAST_BAR), 0.0)
        parts.append(np.stack([x, top, width, tall], axis=1))
    return parts[0], parts[1]


def _tick_marks(scale: BarScale, chart: Box) -> Iterator[Mark]:
    ticks = scale.ticks(_TICKS)
    free = math.inf
    for tick, place in zip(ticks, scale.places(np.array(ticks)).tolist(), strict=True):
        y = chart.y + (1 - place) * chart.height
        colour, width = (LINE, 0.8) if tick == 0 else (RULE, 0.6)
        yield Path(((chart.x, y), (chart.x + chart.width, y)), colour, width)
        if y + 3 <= free:
            words = f"{tick:g}"
            yield Text(chart.x - 4 - text_width(words, SMALL), y + 3, words, SMALL, QUIET)
            free = y - 6


def _card_numbers(sheet: Sheet, maps: Mapping[str, LayerMap]) -> Iterator[Mark]:
    """Largest and smallest value beside the main tile, where there is room."""
    if sheet.arrangement.card_width - sheet.arrangement.tile_width < NUMBERS_WIDTH:
        return
    for card in sheet.cards:
        found = maps.get(sheet.nodes[sheet.blocks[card.block].exit].key)
        if found is None or found.bad_values is not None:
            continue
        x, y = card.tile.x + card.tile.width + 5, card.tile.y + SMALL
        for word, value in (("max", found.maximum), ("min", found.minimum)):
            yield Text(x, y, word, SMALL, QUIET)
            colour = POSITIVE if value > 0 else NEGATIVE if value < 0 else INK
            yield Text(x, y + BODY + 1, f"{value:.3g}", BODY, colour)
            y += 2 * BODY + 6
