"""What the poster of one sample shows: each layer's map, its smallest and its largest value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.marks import INK, Colour, Mark
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.numbers import show_range
from micam_fast.diagrams.poster.footer import SAMPLE_COLOURS, Colours
from micam_fast.diagrams.poster.header import sample_marks
from micam_fast.diagrams.poster.kinds import INPUT, kind_of
from micam_fast.diagrams.poster.markers import Marker, find_markers
from micam_fast.diagrams.poster.palette import (
    NEGATIVE,
    PALE_NEGATIVE,
    PALE_POSITIVE,
    POSITIVE,
)
from micam_fast.diagrams.poster.pixels import map_pixels
from micam_fast.diagrams.poster.sheet import Sheet
from micam_fast.diagrams.shown import Shown
from micam_fast.maps.layer_map import LayerMap


@dataclass(frozen=True)
class SampleContent:
    """A `Content` of one sample."""

    shown: Shown

    captions: ClassVar[tuple[str, ...]] = ()
    chart_caption: ClassVar[str] = (
        "smallest and largest value of every layer, in the order of the page"
    )
    bar_colours: ClassVar = (POSITIVE, PALE_POSITIVE), (NEGATIVE, PALE_NEGATIVE)
    outlined: ClassVar[bool] = False
    notes: ClassVar[tuple[str, ...]] = ()
    colours: ClassVar[Colours] = SAMPLE_COLOURS

    @property
    def maps(self) -> Mapping[str, LayerMap]:
        """Those of the sample."""
        return self.shown.maps

    def size(self, layer: str, pane: int) -> tuple[int, int] | None:
        """Of the layer's only map."""
        found = self.shown.maps.get(layer)
        return None if found is None else (found.cam.shape[0], found.cam.shape[1])

    def pixels(self, layer: str, pane: int, most: tuple[int, int]) -> NDArray[np.uint8]:
        """The layer's own colours."""
        return map_pixels(self.shown.maps[layer], most)

    def ranges(self, nodes: Sequence[Node]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Smallest and largest value. Inputs are pale: their numbers are not the network's."""
        maps, none = self.shown.maps, (math.nan, math.nan)
        found = (
            (maps[node.key].minimum, maps[node.key].maximum) if node.key in maps else none
            for node in nodes
        )
        pale = np.array([kind_of(node) is INPUT for node in nodes])
        return np.array(list(found)), pale

    def numbers(self, layer: str) -> Sequence[tuple[str, str, Colour]]:
        """Largest and smallest value."""
        found = self.shown.maps.get(layer)
        if found is None or found.bad_values is not None:
            return ()
        low, high = show_range(found.minimum, found.maximum)
        return (
            ("max", high, _sign_colour(found.maximum)),
            ("min", low, _sign_colour(found.minimum)),
        )

    def caption(self, layer: str) -> str:
        """Smallest and largest value."""
        found = self.shown.maps.get(layer)
        if found is None or found.bad_values is not None:
            return ""
        return " to ".join(show_range(found.minimum, found.maximum))

    def markers(self, nodes: Sequence[Node]) -> list[Marker]:
        """Largest and smallest value, least like what it reads."""
        return find_markers(nodes, self.shown.maps)

    def header(self, sheet: Sheet) -> Iterator[Mark]:
        """The sample's own picture, and the lines about it."""
        return sample_marks(sheet, self.shown)


def _sign_colour(value: float) -> Colour:
    return POSITIVE if value > 0 else NEGATIVE if value < 0 else INK
