"""How a diagram or poster looks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from micam_fast.core.choices import (
    DRAWINGS,
    EVERYTHING,
    LARGEST_DIAGRAM,
    LOOK_CHOICES,
    PAGES,
    Detail,
    DrawingChoice,
    Look,
    LookChoice,
    check_choice,
)

_LARGEST_PLANE = 75
"""Cells along the longer side of the published example's input. From here on, the squares of an
isometric plane cover each other so far that a map is a heap of colours."""


@dataclass(frozen=True)
class Style:
    """How a diagram or poster looks, and how a PNG is compressed; see `Explanation.save`.

    Attributes
    ----------
    look, rankdir, scale_tiles, compress_level, drawing, scale_png
        As in `Explanation.save`.
    tiles_from
        The folder from which a DOT file finds its tiles; by default the one that it is in, which
        must not move then; empty for the one that Graphviz runs in.
    row_names
        Of the input's rows, for the tiles on which they lie; empty for none.
    detail
        How much of the network is drawn.
    page
        Width and height of a poster in 1/96 inch.

    Raises
    ------
    ValueError
        If something is none that there is.
    """

    look: LookChoice = "auto"
    rankdir: str | None = None
    scale_tiles: float | None = None
    compress_level: int = 1
    tiles_from: str | None = None
    row_names: tuple[str, ...] = ()
    detail: Detail = EVERYTHING
    drawing: DrawingChoice = "auto"
    page: tuple[int, int] = PAGES["screen"]
    scale_png: float = 1.5

    def __post_init__(self) -> None:
        check_choice("look", self.look, LOOK_CHOICES)
        check_choice("drawing", self.drawing, DRAWINGS)
        for name, value in (("scale_tiles", self.scale), ("scale_png", self.scale_png)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive number, not {value}")
        if self.drawing == "poster" and self._is_of_diagram:
            raise ValueError("rankdir and scale_tiles belong to the diagram, not to the poster")
        if self.compress_level not in range(10):
            raise ValueError(f"compress_level must be 0 to 9, not {self.compress_level}")

    @property
    def as_poster(self) -> Style:
        """The same for a poster."""
        return replace(self, drawing="poster", rankdir=None, scale_tiles=None)

    @property
    def direction(self) -> str:
        """Where a diagram's edges lead: ``"TB"`` if nobody chose."""
        return "TB" if self.rankdir is None else self.rankdir

    @property
    def scale(self) -> float:
        """Size of a diagram relative to the published tile."""
        return 1.0 if self.scale_tiles is None else self.scale_tiles

    def png_level(self, *, poster: bool) -> int:
        """How a PNG is compressed; a poster at level 1 would be a quarter larger than at 2."""
        return 2 if poster and self.compress_level == 1 else self.compress_level

    def is_poster(self, nodes: int) -> bool:
        """Tell whether a network of so many nodes is drawn as a poster.

        A direction or a size of tiles means the diagram, as only that has them.
        """
        if self.drawing != "auto":
            return self.drawing == "poster"
        return not self._is_of_diagram and nodes > LARGEST_DIAGRAM

    @property
    def _is_of_diagram(self) -> bool:
        return self.rankdir is not None or self.scale_tiles is not None

    def look_for(self, input_size: tuple[int, int] | None, *, poster: bool = False) -> Look:
        """The look of the diagram, or poster, of an input of this size; of ``"auto"``, the rule.

        The published look suits inputs of rows and columns up to the size of the published example.
        Larger pictures, and sequences and lists, which have but one row, are seen from above. So is
        an input of which the size is not known yet, and so is a poster, whose tiles are small.
        """
        if self.look != "auto":
            return self.look
        if poster:
            return "flat"
        fits = input_size is not None and 1 < min(input_size) <= max(input_size) <= _LARGEST_PLANE
        return "isometric" if fits else "flat"
