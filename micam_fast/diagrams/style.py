"""How a diagram looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from micam_fast.core.choices import EVERYTHING, LOOKS, Detail, Look, check_choice


@dataclass(frozen=True)
class Style:
    """How a diagram looks, and how a PNG is compressed; see `Explanation.save`.

    Attributes
    ----------
    look, rankdir, scale, compress_level
        As in `Explanation.save`.
    tiles_from
        The folder from which a DOT file finds its tiles; by default the one that it is in, which
        must not move then; empty for the one that Graphviz runs in.
    row_names
        Of the input's rows, for the tiles on which they lie; empty for none.
    detail
        How much of the network is drawn.

    Raises
    ------
    ValueError
        If something is none that there is.
    """

    look: Look = "isometric"
    rankdir: str = "TB"
    scale: float = 1.0
    compress_level: int = 1
    tiles_from: str | None = None
    row_names: tuple[str, ...] = ()
    detail: Detail = EVERYTHING

    def __post_init__(self) -> None:
        check_choice("look", self.look, LOOKS)
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale_tiles must be a positive number, not {self.scale}")
        if self.compress_level not in range(10):
            raise ValueError(f"compress_level must be 0 to 9, not {self.compress_level}")
