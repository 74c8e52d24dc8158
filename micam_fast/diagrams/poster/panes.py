"""How the main tiles of a card stand in their room: one alone, or several maps of one layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from micam_fast.diagrams.places import Box

GAP = 4.0
_CAPTION_ROW, _CAPTION_COLUMN = 10.0, 26.0
"""Height of the captions above tiles, and their width left of tiles."""
_WIDE = 2.0
"""Width by height of tiles that stand one below the other."""


@dataclass(frozen=True)
class Panes:
    """The main tiles of a card.

    Attributes
    ----------
    aspect
        Width of each by its height.
    captions
        Of each, of which there are several then; empty for a single tile.
    planes
        Whether maps lie on planes that are seen in perspective.
    """

    aspect: float
    captions: tuple[str, ...] = ()
    planes: bool = False

    @property
    def count(self) -> int:
        """How many tiles there are."""
        return max(1, len(self.captions))

    @property
    def stacked(self) -> bool:
        """Whether several tiles stand one below the other, captions at their left."""
        return self.count > 1 and self.aspect >= _WIDE

    def room_in(self, width: float, height: float) -> tuple[float, float]:
        """Width and height of the largest room of all tiles within these."""
        across, down, beside, between = self._grid
        whole = min(width, across * self.aspect * ((height - between) / down) + beside)
        return whole, self.height_of(self.tile_in(whole)[1])

    def height_of(self, tile: float) -> float:
        """Of the room of tiles of this height."""
        _, down, _, between = self._grid
        return down * tile + between

    def width_of(self, tile: float) -> float:
        """Of the room of tiles of this width."""
        across, _, beside, _ = self._grid
        return across * tile + beside

    def tile_in(self, width: float) -> tuple[float, float]:
        """Width and height of each tile in a room of this width."""
        across, _, beside, _ = self._grid
        own = (width - beside) / across
        return own, own / self.aspect

    def split(self, room: Box) -> Iterator[Box]:
        """The part of a room that each tile has; a room may be lower than `room_in` says."""
        _, down, _, between = self._grid
        width, height = self.tile_in(room.width)[0], (room.height - between) / down
        left = room.x + room.width - width
        for number in range(self.count):
            if self.stacked:
                yield Box(left, room.y + number * (height + GAP), width, height)
            else:
                top = room.y + room.height - height
                yield Box(room.x + number * (width + GAP), top, width, height)

    @property
    def _grid(self) -> tuple[int, int, float, float]:
        """Tiles across and down, and how much more width and height they take together."""
        if self.count == 1:
            return 1, 1, 0.0, 0.0
        gaps = (self.count - 1) * GAP
        if self.stacked:
            return 1, self.count, _CAPTION_COLUMN, gaps
        return self.count, 1, gaps, _CAPTION_ROW
