"""Names of the input's rows beside the tiles whose rows they are.

They are for leads, channels of an EEG, features: few rows beside many columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import Look
from micam_fast.core.layers import Layer
from micam_fast.core.texts import one_line
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import INK, Plane, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.planes import place_on
from micam_fast.diagrams.tile_rooms import PUBLISHED, TILE_HEIGHT
from micam_fast.diagrams.tiles import NARROW, cell_centres, grid_size
from micam_fast.maps.layer_map import LayerMap

MOST_ROWS = 32
_LARGEST, _WIDEST = 10.0, 90.0
# In perspective, where the rows lie closer; from above they can be enlarged.
_SMALLEST = 5.0
_GAP = 4.0
# Of the pixels of a row.
_SHARE = 0.85
# Of a text's size, from its middle down to its baseline.
_BASELINE = 0.36


def rows_of_input(
    layers: Iterable[Layer], maps: Mapping[str, LayerMap], input_size: tuple[int, int]
) -> frozenset[str]:
    """Layers whose maps have a row for each row of the input, all the way from the input on.

    A layer that was left out is passed over.
    """
    found: set[str] = set()
    for layer in layers:
        each = maps.get(layer.name)
        size = None if each is None else (each.cam.shape[0], each.cam.shape[1])
        if (each is None or not each.flat) and lies_on_rows(layer, size, found, input_size):
            found.add(layer.name)
    return frozenset(found)


def lies_on_rows(
    layer: Layer, size: tuple[int, int] | None, found: Collection[str], input_size: tuple[int, int]
) -> bool:
    """Tell whether a map of this size has a row for each of the input's; `None` if it is unknown.

    The layers before that do are `found`.
    """
    if not layer.inputs:
        return size in (None, tuple(input_size))
    lies = any(name in found for name in layer.inputs)
    return lies and (size is None or size[0] == input_size[0])


def has_named_rows(input_size: tuple[int, int], names: Sequence[str]) -> bool:
    """Tell whether an input is long, and of few rows, each with a name."""
    rows, columns = input_size
    return 2 <= rows <= MOST_ROWS and columns >= NARROW * rows and len(names) == rows


class RowsOfInput:
    """Follows the input's rows through maps that come one by one, in the order of the layers."""

    def __init__(
        self, layers: Iterable[Layer], input_size: tuple[int, int], names: Sequence[str]
    ) -> None:
        self._rest, self._input_size = iter(layers), input_size
        self._names = names if has_named_rows(input_size, names) else ()
        self._found: set[str] = set()

    def names_of(self, name: str, size: tuple[int, int] | None) -> Sequence[str]:
        """Names of the rows of a layer's map, whose size is given unless the layer is flat."""
        for layer in self._rest:
            own = layer.name == name
            if own and size is None:
                break
            if lies_on_rows(layer, size if own else None, self._found, self._input_size):
                self._found.add(layer.name)
            if own:
                break
        return self._names if name in self._found else ()


def named_layers(
    layers: Iterable[Layer],
    maps: Mapping[str, LayerMap],
    input_size: tuple[int, int],
    names: Sequence[str],
) -> frozenset[str]:
    """Layers beside whose tiles the names stand: those of a long and narrow input of few rows."""
    if not has_named_rows(input_size, names):
        return frozenset()
    lying = rows_of_input(layers, maps, input_size)
    return frozenset(name for name in lying & maps.keys() if maps[name].bad_values is None)


def names_room(names: Sequence[str]) -> float:
    """Pixels that the names take of a tile seen from above."""
    size = min(_LARGEST, _SHARE * TILE_HEIGHT / len(names))
    widest = max(text_width(one_line(name), size) for name in names)
    return min(widest, _WIDEST) + _GAP


def name_marks(
    names: Sequence[str], look: Look, place: Box, input_size: tuple[int, int]
) -> Iterator[Text]:
    """The names beside a tile, left of it or, in perspective, at the right end of its rows.

    Parameters
    ----------
    place
        Of the picture that `tile_place` gives, at scale 1.
    """
    count = len(names)
    if look == "flat":
        height = place.height / count
        size = min(_LARGEST, _SHARE * height)
        for row, name in enumerate(names):
            text = fit_line(one_line(name), size, _WIDEST)
            x = place.x - _GAP - text_width(text, size)
            yield _mark(x, place.y + (row + 0.5) * height, name, text, size)
        return
    rows, columns = grid_size(input_size)
    if rows % count:
        return
    right = cell_centres((rows, columns), input_size, 1.0).reshape(rows, columns, 2)[:, -1]
    ends = right.reshape(count, -1, 2).mean(axis=1)
    # Squares reach beyond the middles of the last cells.
    ends[:, 0] += _GAP
    yield from _at_ends(names, ends, place)


def plane_name_marks(names: Sequence[str], plane: Plane, place: Box) -> Iterator[Text]:
    """The names at the right end of the rows of a plane, which lies in the tile at this place."""
    rows = len(names)
    ends = [place_on(plane, 1.0, (row + 0.5) / rows) for row in range(rows)]
    yield from _at_ends(names, np.array(ends).reshape(-1, 2) - np.array((place.x, place.y)), place)


def _at_ends(names: Sequence[str], ends: NDArray[np.float64], place: Box) -> Iterator[Text]:
    """The names behind these points of a tile, unless they would be too small to be read."""
    if not names:
        return
    size = min(_LARGEST, _SHARE * float(ends[-1, 1] - ends[0, 1]) / (len(names) - 1))
    if size < _SMALLEST:
        return
    for name, (x, y) in zip(names, (ends + np.array((_GAP, 0.0))).tolist(), strict=True):
        text = fit_line(one_line(name), size, PUBLISHED.label_x - _GAP - x)
        yield _mark(place.x + x, place.y + y, name, text, size)


def _mark(x: float, middle: float, name: str, text: str, size: float) -> Text:
    full = None if text == name else name
    return Text(x, middle + _BASELINE * size, text, size, INK, full)
