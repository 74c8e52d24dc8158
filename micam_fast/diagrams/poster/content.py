"""What a poster shows: a sample's maps, or how those of two samples differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.marks import Colour, Mark
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.footer import Colours
from micam_fast.diagrams.poster.markers import Marker
from micam_fast.diagrams.poster.sheet import Sheet
from micam_fast.maps.layer_map import LayerMap


class Content(Protocol):
    """What stands on a sheet.

    Attributes
    ----------
    maps
        By layer: a map of the size that the layer has on the page.
    captions
        Of the main tiles of each card, as in `Panes`.
    chart_caption
        What the bars tell.
    bar_colours
        Of bars above zero and below it: each the usual one and a paler one.
    outlined
        Whether maps have an outline, as a part of them may be as white as the page.
    notes
        Lines below the header.
    colours
        What the footer tells of colours.
    """

    @property
    def maps(self) -> Mapping[str, LayerMap]: ...  # noqa: D102

    @property
    def captions(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def chart_caption(self) -> str: ...  # noqa: D102

    @property
    def bar_colours(self) -> tuple[tuple[Colour, Colour], tuple[Colour, Colour]]: ...  # noqa: D102

    @property
    def outlined(self) -> bool: ...  # noqa: D102

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def colours(self) -> Colours: ...  # noqa: D102

    def size(self, layer: str, pane: int) -> tuple[int, int] | None:
        """Rows and columns of one of a layer's maps, by the number of its tile."""

    def pixels(self, layer: str, pane: int, most: tuple[int, int]) -> NDArray[np.uint8]:
        """The colours of that map ``(rows, columns, 3)``, so many rows and columns at most."""

    def ranges(self, nodes: Sequence[Node]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where the bars begin and end, ``(layers, 2)``, NaN for no bar; which of them are pale.

        Pale ones take no part in the scale of the page.
        """

    def numbers(self, layer: str) -> Sequence[tuple[str, str, Colour]]:
        """What stands beside a layer's main tile: words, and numbers with their colours."""

    def caption(self, layer: str) -> str:
        """The numbers of a layer's main tile in a line; empty for nothing."""

    def markers(self, nodes: Sequence[Node]) -> list[Marker]:
        """The layers that the page points at."""

    def header(self, sheet: Sheet) -> Iterator[Mark]:
        """What the header shows left of the chart."""
