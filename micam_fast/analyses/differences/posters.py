"""The poster of a difference: A, B and B - A of each block, B - A and its size of each layer."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from micam_fast.analyses.differences.comparison import Comparison
from micam_fast.analyses.differences.labels import (
    counts_line,
    order_line,
    show_number,
    show_share,
    some_of,
    source_parts,
)
from micam_fast.analyses.differences.layers import CAPTIONS, NOT_COMPARED, LayerDifference
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import BLACK, INK, Boxes, Colour, Filling, Mark, Picture, Text
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.numbers import show_value
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.footer import Colours, LegendItem, Sign
from micam_fast.diagrams.poster.header import chart_box, name_mark
from micam_fast.diagrams.poster.kinds import INPUT, kind_of
from micam_fast.diagrams.poster.markers import Marker
from micam_fast.diagrams.poster.own_picture import own_picture_marks, own_picture_width
from micam_fast.diagrams.poster.palette import BODY, LINE
from micam_fast.diagrams.poster.pixels import strongest_cells
from micam_fast.diagrams.poster.sheet import HEADER_TOP, MARGIN, Sheet
from micam_fast.diagrams.poster.template import PosterTemplate
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tiles import hatch
from micam_fast.maps.layer_map import LayerMap
from micam_fast.maps.signed_palette import paint_diverging

_BAR: Colour = (70, 70, 70)
"""Neither sign's: a relative L2 has none."""
_INFINITE = LINE
_PICTURE, _ROW, _ROWS_TOP = 26.0, 29.0, 24.0
"""Height of a side's own picture, from one side to the other, and of the first below the top."""
_LETTER_WIDTH, _PICTURE_GAP = 14.0, 8.0
_CHART_GAP = 44.0
_HATCH_SCALE, _HATCH_UNITS = 3.0, 32
"""Of the hatch of tiles, in pixels; how much of it a thumbnail shows."""


def draw_poster(
    difference: Comparison, style: Style, scale: float
) -> tuple[PosterTemplate, list[Filling]]:
    """The poster, and what goes into its holes.

    Parameters
    ----------
    difference
        What is shown: on the sheet of A's network.
    style
        Its page.
    scale
        Pixels to a unit of the page.
    """
    content = DifferenceContent(difference)
    template = PosterTemplate(
        poster_nodes(difference),
        content,
        model=content.title,
        input_size=difference.a.input_size,
        style=style,
        scale=scale,
    )
    return template, template.fillings(content)


def poster_nodes(difference: Comparison) -> tuple[Node, ...]:
    """What the page shows: A's layers."""
    scene = difference.a.scene
    mapped = (layer.name for layer in scene.layers if layer.name in difference.layers)
    return scene.nodes(frozenset(mapped))


@dataclass(frozen=True)
class DifferenceContent:
    """A poster's `Content` of a difference."""

    difference: Comparison

    captions: ClassVar[tuple[str, ...]] = CAPTIONS
    chart_caption: ClassVar[str] = (
        "relative L2, |B - A| / |A|, of every layer, in the order of the page"
    )
    bar_colours: ClassVar = ((_BAR, _INFINITE),) * 2
    outlined: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """The models, and what is shown of them."""
        sides = self.difference.a, self.difference.b
        models = dict.fromkeys(each.scene.model for each in sides)
        return f"{' and '.join(models)}: B - A"

    @functools.cached_property
    def maps(self) -> Mapping[str, LayerMap]:
        """A's maps; B's where A has none."""
        sides = ((name, each.a, each.b) for name, each in self.difference.layers.items())
        return {n: m for n, a, b in sides if (m := b if a is None else a) is not None}

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """What is not compared, and in which order B saw its input."""
        lines = [counts_line(self.difference)]
        infinite = [e.layer.name for e in self.difference.compared if math.isinf(e.relative_l2)]
        if infinite:
            lines[0] += f"; {len(infinite)} infinite, as A is all zero: {some_of(infinite)}"
        if self.difference.permutation is not None:
            lines.append(order_line(self.difference))
        return tuple(lines)

    def size(self, layer: str, pane: int) -> tuple[int, int] | None:
        """Of A's or B's map, or of B - A; without that, of the one that there is."""
        if layer not in self.maps:
            return None
        values = self.difference.layers[layer].drawn[pane]
        shape = self.maps[layer].cam.shape if values is None else values.shape
        return shape[0], shape[1]

    def pixels(self, layer: str, pane: int, most: tuple[int, int]) -> NDArray[np.uint8]:
        """The signed colours on the layer's own scale; hatched where there is no such map."""
        each = self.difference.layers[layer]
        values = each.drawn[pane]
        if values is None:
            return _no_map(*most)
        with np.errstate(over="ignore"):
            cells = strongest_cells(np.ascontiguousarray(values, np.float32), most)
        shown = values if cells is None else values.reshape(-1)[cells]
        return np.ascontiguousarray(paint_diverging(shown, each.bound)[..., :3])

    def ranges(self, nodes: Sequence[Node]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """From zero to the relative L2; infinite ones are pale, undefined ones have no bar."""
        layers = self.difference.layers
        found = np.array(
            [layers[n.key].relative_l2 if n.key in layers else math.nan for n in nodes]
        )
        return np.stack([np.where(np.isnan(found), found, 0.0), found], axis=1), np.isinf(found)

    def numbers(self, layer: str) -> Sequence[tuple[str, str, Colour]]:
        """Relative L2 and correlation."""
        each = self.difference.layers.get(layer)
        if each is None or each.difference is None:
            return ()
        measures = ("rel. L2", each.relative_l2), ("corr.", each.correlation)
        return [(word, _three_digits(value), INK) for word, value in measures]

    def caption(self, layer: str) -> str:
        """The relative L2, or why there is none."""
        each = self.difference.layers.get(layer)
        if each is None:
            return ""
        return (
            each.note.removeprefix(NOT_COMPARED).strip()
            or f"relative L2 {show_value(each.relative_l2)}"
        )

    def markers(self, nodes: Sequence[Node]) -> list[Marker]:
        """Largest relative L2, lowest correlation, most noise.

        Inputs take no part: they are what was changed. Letters are none that the sides have.
        """
        places = {n.key: p for p, n in enumerate(nodes) if kind_of(n) is not INPUT}
        known = [e for e in self.difference.layers.values() if e.layer.name in places]
        markers = []

        def mark(letter: str, each: LayerDifference, text: str) -> None:
            markers.append(Marker(letter, places[each.layer.name], text))

        changed = [e for e in known if 0 < e.relative_l2 < math.inf]
        if changed:
            most = max(changed, key=lambda each: each.relative_l2)
            mark("X", most, f"largest relative L2 {show_value(most.relative_l2)}")
        unlike = [e for e in known if e.correlation < 1]
        if unlike:
            least = min(unlike, key=lambda each: each.correlation)
            mark("Y", least, f"lowest correlation {show_number(least.correlation)}")
        ranked = self.difference.ranked if self.difference.measured else []
        noisy = [e for e in ranked if e.added > 0 and e.layer.name in places]
        if noisy:
            mark("Z", noisy[0], f"adds most noise {show_share(noisy[0].added)}")
        return markers

    def header(self, sheet: Sheet) -> Iterator[Mark]:
        """What A and B are, below each other: their own pictures, samples and predictions."""
        right = chart_box(sheet).x - _CHART_GAP
        yield name_mark(self.title, MARGIN, right - MARGIN)
        a, b = self.difference.a, self.difference.b
        own = [each.own_picture for each in (a, b)]
        left = MARGIN + _LETTER_WIDTH
        widths = [own_picture_width(each, _PICTURE) for each in own if each is not None]
        x = left + (max(widths) + _PICTURE_GAP if widths else 0.0)
        for number, (letter, each) in enumerate((("A", a), ("B", b))):
            y = HEADER_TOP + _ROWS_TOP + number * _ROW
            yield Text(MARGIN, y + 11, letter, BODY, BLACK, bold=True)
            picture = own[number]
            if picture is not None:
                box = Box(left, y, own_picture_width(picture, _PICTURE), _PICTURE)
                yield from own_picture_marks(picture, box)
            parts = source_parts(each, named=a.scene is not b.scene)
            said = ""
            if each.prediction is not None:
                parts.pop()
                said = each.prediction.brief("class")
            for line, baseline in ((", ".join(parts), y + 11), (said, y + 24)):
                shown = fit_line(line, BODY, right - x)
                yield Text(x, baseline, shown, BODY, INK, None if shown == line else line)

    @property
    def colours(self) -> Colours:
        """The signed colours, the hatch, the bars."""
        return _colours()


@functools.cache
def _colours() -> Colours:
    strengths = paint_diverging(np.linspace(-1, 1, 96)[np.newaxis], 1.0)[..., :3]
    signed, none = _picture(strengths, 70.0), _picture(hatch(72, 24, _HATCH_SCALE), 24.0)
    items = (
        LegendItem(("negative", signed, "positive, one scale for A, B and B - A of a layer")),
        LegendItem((none, "no map")),
        LegendItem((_bar(_BAR), "relative L2, one logarithmic scale from 0")),
        LegendItem((_bar(_INFINITE), "infinite: A is all zero")),
    )
    return Colours(items, np.ascontiguousarray(strengths[:, 60:61]))


def _picture(pixels: NDArray[np.uint8], width: float) -> Sign:
    shown = np.ascontiguousarray(pixels)
    return Sign(width, lambda x, y: iter([Picture(x, y - 7, width, 8, shown)]))


def _bar(colour: Colour) -> Sign:
    return Sign(4.0, lambda x, y: iter([Boxes(np.array([[x, y - 8, 4.0, 9.0]]), colour)]))


def _three_digits(value: float) -> str:
    return "-" if math.isnan(value) else show_value(value)


def _no_map(rows: int, columns: int) -> NDArray[np.uint8]:
    """Hatched, with lines that are thinner on thumbnails."""
    return hatch(columns, rows, min(_HATCH_SCALE, min(rows, columns) / _HATCH_UNITS))
