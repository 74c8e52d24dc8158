"""A picture of one layer: all its feature maps, or what each channel adds to the layer's map."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import choose_strongest
from micam_fast.core.choices import ChannelKind
from micam_fast.core.layers import Layer
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.flat_sizes import strip_thickness
from micam_fast.diagrams.heading import (
    LEGEND_BAR,
    MARGIN,
    LegendLine,
    fit_header,
    frame,
    head_height,
    head_width,
    header_texts,
    legend_marks,
    legend_width,
)
from micam_fast.diagrams.labels import label_parts
from micam_fast.diagrams.marks import INK, Drawing, Mark, Picture, Text, move
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.row_names import name_marks, names_room
from micam_fast.diagrams.tiles import MOST_APART, NARROW, hatch
from micam_fast.maps.contributions import energy_shares, finite_channels
from micam_fast.maps.signed_palette import paint_diverging

LARGEST_GRID = 64e6
"""Pixels above which maps are shrunk: a picture must stay one that viewers open at once."""
LONGEST_SIDE = 30_000
"""The same for each side: beyond 32,767 many viewers fail."""
MOST_MAPS = 4096
"""Maps in a picture: a vocabulary of words as channels would be too many to look at."""

_CAPTION_SIZE = 12.0
_CAPTION_ROOM, _GAP = 22, 10
_LEGEND_INDENT = 20
# Width by height of the field of maps, about that of a page or screen.
_PROPORTION = 4 / 3
# Maps smaller than this are enlarged as far as the field stays within its size.
_LARGEST_SIDE, _SMALLEST_SIDE, _LARGEST_ZOOM = 240, 42, 24
_CAPTION_FILLED = 56
_FIELD_PIXELS = 1.6e6
# A map is this thick at least: it would be too thin to see.
_STRIP = 24
# Of a row beside which its name stands.
_NAMED_ROW = 12
_PAINTED_AT_A_TIME = 1 << 18


@dataclass(frozen=True)
class Cells:
    """How the maps of a grid are placed.

    Attributes
    ----------
    count
        Number of maps.
    columns
        Maps side by side.
    size
        Rows and columns of a map as it is drawn, shrunk if need be.
    zoom
        Pixels that each of its cells is high and wide.
    pitch
        From one map to the next, downwards and to the right, in cells: so that the whole grid is
        one small picture, which is enlarged.
    shrunk
        How many rows and columns of the layer's map are one of the map as it is drawn.
    """

    count: int
    columns: int
    size: tuple[int, int]
    zoom: tuple[int, int]
    pitch: tuple[int, int]
    shrunk: int = 1

    @property
    def rows(self) -> int:
        """Maps one below the other."""
        return -(-self.count // self.columns)

    @property
    def field(self) -> tuple[int, int]:
        """Height and width in cells of the picture of all maps, without a gap behind the last."""
        return (
            (self.rows - 1) * self.pitch[0] + self.size[0],
            (self.columns - 1) * self.pitch[1] + self.size[1],
        )

    def corner(self, place: int) -> tuple[int, int]:
        """Row and column of a map's first cell in the picture of all maps."""
        row, column = divmod(place, self.columns)
        return row * self.pitch[0], column * self.pitch[1]


def arrange_cells(
    count: int, size: tuple[int, int], caption_width: float = 0.0, row: int = 1
) -> Cells:
    """Place up to `MOST_MAPS` maps of a layer: readable, and of about a page's proportion.

    The size is a map's rows and columns; the widest caption is so many pixels wide, and a row takes
    as many at least if there is room.
    """
    shrunk, smallest = 1, _shrink_sides(size, max(size))
    while True:
        fitted = _shrink_sides(size, shrunk)
        zoom = 1 if shrunk > 1 else _choose_zoom(count, fitted, caption_width)
        down, right = (max(zoom, -(-_STRIP // side)) for side in fitted)
        # Where nothing is left to merge, there is no room for more.
        if shrunk == 1 or fitted != smallest:
            thick_down, thick_right = _least_zoom(size, fitted)
            down, right = max(down, thick_down, row), max(right, thick_right)
        pitch = (
            fitted[0] + -(-_CAPTION_ROOM // down),
            max(fitted[1] + -(-_GAP // right), math.ceil((caption_width + _GAP) / right)),
        )
        columns = _choose_columns(count, pitch[0] * down, pitch[1] * right)
        cells = Cells(count, columns, fitted, (down, right), pitch, shrunk)
        height, width = cells.field[0] * down, cells.field[1] * right
        if height * width <= LARGEST_GRID and max(height, width) <= LONGEST_SIDE:
            return cells
        shrunk += 1


def _shrink_sides(size: tuple[int, int], shrunk: int) -> tuple[int, int]:
    """Rows and columns of a shrunk map; those of a narrow one's short side stay apart."""
    kept = min(MOST_APART, *size) if max(size) >= NARROW * min(size) else 1
    height, width = (max(min(side, kept), -(-side // shrunk)) for side in size)
    return height, width


def _least_zoom(size: tuple[int, int], fitted: tuple[int, int]) -> tuple[int, int]:
    """Pixels that rows and columns take at least: those of a narrow map's short side some."""
    if max(size) < NARROW * min(size) or min(size) == 1:
        return 1, 1
    down, right = (
        -(-strip_thickness(cells) // cells) if side == min(size) else 1
        for side, cells in zip(size, fitted, strict=True)
    )
    return down, right


def _choose_zoom(count: int, size: tuple[int, int], caption_width: float) -> int:
    longest = max(size)
    # Where the captions are wider than the maps, the maps fill that room.
    legible = math.ceil(max(_SMALLEST_SIDE, min(caption_width, _CAPTION_FILLED)) / longest)
    fitting = math.isqrt(int(_FIELD_PIXELS / (count * size[0] * size[1])))
    return max(1, min(_LARGEST_ZOOM, max(legible, min(fitting, _LARGEST_SIDE // longest))))


def _choose_columns(count: int, height: int, width: int) -> int:
    """About the proportion of a page, with as few empty places as that allows."""
    wanted = math.sqrt(_PROPORTION * count * height / width)
    # Empty places count, as parts of all places, four times what being off the proportion does.
    return min(
        range(1, count + 1),
        key=lambda columns: 4 * (-count % columns) / count + abs(math.log(columns / wanted)),
    )


def draw_grid(
    layer: Layer,
    maps: NDArray[np.float32],
    *,
    of: ChannelKind,
    header: Sequence[str] = (),
    row_names: Sequence[str] = (),
) -> Drawing:
    """Draw the maps of a layer's channels.

    Parameters
    ----------
    layer
        The layer.
    maps
        ``(C, h, w)``. A map that is not finite is hatched.
    of
        ``"activations"``: in the order of the channels. ``"contributions"``: the channel with the
        largest share of the map's energy first, whatever the share's sign.
    header
        Lines about model and sample.
    row_names
        Of the maps' rows; they stand before the first map of each line.

    Returns
    -------
    Drawing
        The maps, at most `MOST_MAPS`, are one picture at their own resolution, enlarged by whole
        factors; captions and frames are marks.
    """
    order, captions = _sort(maps, of)
    finite = finite_channels(maps)
    caption_width = max(sum(map(_advance, text)) for text in captions)
    cells = arrange_cells(
        len(captions), maps.shape[1:], caption_width, _NAMED_ROW if row_names else 1
    )
    named = len(row_names) == cells.size[0] and cells.zoom[0] >= _NAMED_ROW
    names = row_names if named else ()
    low, high = _range(maps, finite)
    lines = [layer.name, " · ".join(label_parts(layer, None)[0][1:]), *header]
    lines.append(_describe(maps, of, cells, int(finite.sum())))
    lines = fit_header(lines)
    legend = [_scale_line(low, high, of)]
    # The legend's letters are left out here.
    marks: list[Mark] = [*header_texts(lines)]
    marks += [move(mark, -_LEGEND_INDENT, 0) for mark in legend_marks(lines, legend)]
    top = round(head_height(lines, len(legend)) - MARGIN + _CAPTION_ROOM)
    room = head_width(lines, legend_width(line.meaning for line in legend))
    if of == "contributions" and finite.any() and len(maps) > 1:
        whole = maps.sum(axis=0, dtype=np.float64, where=finite[:, None, None], keepdims=True)
        text = f"their sum, {whole.min():.6g} to {whole.max():.6g}, on a scale of its own"
        one = replace(cells, count=1, columns=1)
        with np.errstate(over="ignore"):
            shown = whole.astype(np.float32)
        marks += _field_marks(shown, one, [text], top, layer.name, names)
        top += cells.pitch[0] * cells.zoom[0] + _GAP
    marks += _field_marks(maps[order], cells, captions, top, layer.name, names)
    height, width = (side * zoom for side, zoom in zip(cells.field, cells.zoom, strict=True))
    width = round(max(width + _left(names), room) + 2 * MARGIN)
    return Drawing(width, round(top + height + MARGIN), tuple(marks), layer.name)


def _range(maps: NDArray[np.float32], finite: NDArray[np.bool_]) -> tuple[float, float]:
    """Smallest and largest value, zero included, of the maps that are finite."""
    where = finite[:, np.newaxis, np.newaxis]
    low, high = (float(pick(maps, where=where, initial=0.0)) for pick in (np.min, np.max))
    return low, high


def _sort(maps: NDArray[np.float32], of: ChannelKind) -> tuple[NDArray[np.intp], list[str]]:
    """Which channels are drawn, in which order, and what is written above each."""
    if of == "activations":
        order = np.arange(len(maps))[:MOST_MAPS]
        return order, [str(channel) for channel in order]
    shares = energy_shares(maps)
    # NaN is sorted behind all numbers.
    order = np.argsort(-np.abs(shares), kind="stable")[:MOST_MAPS]
    captions = [
        str(channel) if math.isnan(shares[channel]) else f"{channel}  {_percent(shares[channel])}"
        for channel in order
    ]
    return order, captions


@functools.cache
def _advance(character: str) -> float:
    """Width of a character of a caption; the font has no kerning."""
    return text_width(character, _CAPTION_SIZE)


def _percent(share: float) -> str:
    shown = f"{100 * share:.1f}"
    return f"{'0.0' if shown == '-0.0' else shown} %"


def _describe(maps: NDArray[np.float32], of: ChannelKind, cells: Cells, finite: int) -> str:
    """What is shown, and in which order."""
    count, height, width = maps.shape
    size = f"{height} x {width}"
    if of == "activations":
        things = "feature map" if count == 1 else "feature maps"
        text = f"{count} {things} of {size}, in the order of the channels"
    elif count == 1:
        text = f"what the only channel adds to the layer's map of {size}: all of it"
    else:
        text = (
            f"what each of {count} channels adds to the layer's map of {size}, "
            "the largest share of the map's energy first"
        )
    if count > cells.count:
        text += f"; the first {cells.count} of them"
    if cells.shrunk > 1:
        merged = " x ".join(
            str(-(-side // shown)) for side, shown in zip((height, width), cells.size, strict=True)
        )
        text += f"; a cell is the strongest of {merged}"
    down, right = cells.zoom
    if down != right and height > 1:
        text += f"; {'rows' if down > right else 'columns'} drawn thicker"
    if finite < count:
        text += f"; hatched: {count - finite} that are not finite"
    return text


def _scale_line(low: float, high: float, of: ChannelKind) -> LegendLine:
    """The colours in use, from the smallest to the largest value."""
    bound = max(-low, high)
    left, right = -bound if low < 0 else 0.0, bound if high > 0 else 0.0
    ramp = np.linspace(left, right, LEGEND_BAR[0])
    meaning = f"{left:.6g} to {right:.6g}, zero is white; one scale for all maps"
    if of == "contributions":
        meaning += "; a negative share works against the map, all together are 100 %"
    return LegendLine(meaning, paint_diverging(ramp[np.newaxis], bound))


def _field_marks(
    maps: NDArray[np.float32],
    cells: Cells,
    captions: Sequence[str],
    top: float,
    title: str,
    names: Sequence[str],
) -> Iterator[Mark]:
    """The maps as one picture, with a frame and a caption for each."""
    left = MARGIN + _left(names)
    zoom = cells.zoom
    finite = finite_channels(maps)
    low, high = _range(maps, finite)
    rows, columns = cells.field
    field = _paint_field(maps, cells, max(-low, high))
    yield Picture(left, top, columns * zoom[1], rows * zoom[0], field, title)
    height, width = (side * each for side, each in zip(cells.size, zoom, strict=True))
    for place, (caption, whole) in enumerate(zip(captions, finite, strict=True)):
        row, column = cells.corner(place)
        x, y = left + column * zoom[1], top + row * zoom[0]
        if names and column == 0:
            yield from name_marks(names, "flat", Box(x, y, width, height), maps.shape[1:])
        if not whole:
            yield Picture(x, y, width, height, hatch(width, height, 1.0))
        # A quarter of a pixel higher than the sides: else a PNG's line tints the map's first row.
        yield frame(x - 0.5, y - 0.75, width + 1, height + 1.25)
        yield Text(x, y - 5, caption, _CAPTION_SIZE, INK)


def _left(names: Sequence[str]) -> int:
    """Pixels that names take before the maps."""
    return math.ceil(names_room(names)) if names else 0


def _paint_field(maps: NDArray[np.float32], cells: Cells, bound: float) -> NDArray[np.uint8]:
    """All maps as one picture ``(rows, columns, 3)``, a pixel for each cell."""
    field = np.full((*cells.field, 3), 255, np.uint8)
    height, width = cells.size
    step = max(1, _PAINTED_AT_A_TIME // (height * width))
    for begin in range(0, cells.count, step):
        # Those that are not finite are hatched; here they are only kept from spoiling the others.
        some = np.nan_to_num(maps[begin : begin + step], nan=0, posinf=0, neginf=0)
        if cells.shrunk > 1:
            some = np.stack([_shrink(each, cells.size) for each in some])
        painted = paint_diverging(some, bound)[..., :3]
        for place, each in enumerate(painted, begin):
            y, x = cells.corner(place)
            field[y : y + height, x : x + width] = each
    return field


def _shrink(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    chosen = np.empty(size, np.int64)
    choose_strongest(values, chosen)
    return values.reshape(-1)[chosen]
