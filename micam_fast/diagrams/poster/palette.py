"""Colours and sizes of a poster; text has a contrast of 4.5 to 1 with white, lines 3 to 1."""

from __future__ import annotations

from micam_fast.diagrams.marks import Colour, Path
from micam_fast.diagrams.places import Box

POSITIVE: Colour = (192, 0, 192)
NEGATIVE: Colour = (0, 130, 44)
PALE_POSITIVE: Colour = (230, 180, 228)
PALE_NEGATIVE: Colour = (175, 220, 190)
"""Of inputs, whose numbers are on no scale of the network's."""
MARKER: Colour = (186, 74, 0)
WAY: Colour = (34, 94, 168)
QUIET: Colour = (105, 105, 105)
LINE: Colour = (140, 140, 140)
WHITE: Colour = (255, 255, 255)

SMALL, BODY, CARD, STAGE, NAME = 8.0, 10.0, 9.0, 11.0, 20.0
"""Sizes of text in 1/96 inch: 8 are 6 points, the least that is read on paper."""


def box_path(box: Box, colour: Colour, width: float) -> Path:
    """The outline of a rectangle, within it."""
    half = width / 2
    left, top = box.x + half, box.y + half
    right, bottom = box.x + box.width - half, box.y + box.height - half
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Path(corners, colour, width, closed=True)
