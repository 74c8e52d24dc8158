"""What a node with a map takes: its size, and where in it the picture and the label stand."""

from __future__ import annotations

from dataclasses import dataclass

from micam_fast.core.choices import Look

TILE_WIDTH, TILE_HEIGHT = 635, 205
"""Pixels of the published tile."""
_WIDE = 2
"""Width by height of an input whose maps, seen from above, have the published tile's width."""


@dataclass(frozen=True)
class TileRoom:
    """Where a node has its picture and its label, in pixels from its upper left corner.

    Attributes
    ----------
    size
        Width and height of the node.
    picture_width
        What the picture and its margins take of the width; a map seen from above is in the middle.
    most
        Width and height that a map seen from above may take.
    label_x
        Where the label starts.
    """

    size: tuple[int, int]
    picture_width: int
    most: tuple[int, int]
    label_x: int


PUBLISHED = TileRoom((TILE_WIDTH, TILE_HEIGHT), 425, (390, 185), 435)
_FROM_ABOVE = TileRoom((330, TILE_HEIGHT), 166, (150, 185), 168)


def tile_room(look: Look, input_size: tuple[int, int] | None) -> TileRoom:
    """The room of a diagram's nodes, all of which are alike.

    Seen from above, maps of an input that is not much wider than high leave half of the published
    tile blank, so their nodes are narrower. Where the size is not known yet, they are, too.
    """
    if look == "isometric":
        return PUBLISHED
    wide = input_size is not None and input_size[1] >= _WIDE * input_size[0]
    return PUBLISHED if wide else _FROM_ABOVE
