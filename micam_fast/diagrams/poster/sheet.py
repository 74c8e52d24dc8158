"""Where everything of a poster stands: the page, its cards, their tiles and thumbnails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.arrangement import (
    GAP,
    LANE,
    LETTER,
    STAGE_HEAD,
    TITLE,
    Arrangement,
    CardNeed,
    arrange_cards,
)
from micam_fast.diagrams.poster.blocks import Block, find_blocks
from micam_fast.diagrams.poster.stages import Stage, find_stages
from micam_fast.maps.layer_map import LayerMap

MARGIN = 18.0
HEADER_TOP = 14.0
HEADER_HEIGHT = 84.0
FOOTER_HEIGHT = 22.0
NARROW = 1000.0
"""A page that is narrower has its three markers in a line below the header."""
_MARKER_LINE = 14.0


@dataclass(frozen=True)
class Thumb:
    """A thumbnail: which node, and where."""

    place: int
    box: Box


@dataclass(frozen=True)
class Card:
    """A block on the page.

    Attributes
    ----------
    block
        Its number.
    x, y, width
        Of its upper left corner, where the title stands, and its width.
    tile
        Room of the main tile.
    thumbs
        In order, line by line.
    """

    block: int
    x: float
    y: float
    width: float
    tile: Box
    thumbs: tuple[Thumb, ...]


@dataclass(frozen=True)
class StageLine:
    """A stage's line above its cards in one row."""

    stage: Stage
    x: float
    y: float
    width: float
    continued: bool


@dataclass(frozen=True)
class Sheet:
    """A page with everything in its place."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    blocks: tuple[Block, ...]
    stages: tuple[Stage, ...]
    arrangement: Arrangement
    cards: tuple[Card, ...]
    lines: tuple[StageLine, ...]
    body_top: float

    @property
    def order(self) -> Iterator[int]:
        """Places of the nodes in the order of the page."""
        return (place for block in self.blocks for place in block.members)


def lay_out_sheet(
    nodes: Sequence[Node], maps: Mapping[str, LayerMap], page: tuple[float, float], aspect: float
) -> Sheet:
    """Put a network on a page of this width and height."""
    width, height = page
    blocks = find_blocks(nodes).blocks
    stages = find_stages(blocks, nodes, maps)
    numbers = [n for n, stage in enumerate(stages) for _ in range(stage.first, stage.end)]
    needs = [
        CardNeed(len(block.members), 0, number)
        for block, number in zip(blocks, numbers, strict=True)
    ]
    top = HEADER_TOP + HEADER_HEIGHT + (_MARKER_LINE if width < NARROW else 6.0)
    room = width - 2 * MARGIN, height - FOOTER_HEIGHT - top
    found = arrange_cards(needs, *room, aspect)
    if found is None:
        raise NotImplementedError
    cards: list[Card] = []
    lines: list[StageLine] = []
    y = top
    for row in found.rows:
        columns = range(row.first, row.end)
        lines.extend(_stage_lines(found, stages, row.first, row.end, y))
        for column, number in enumerate(columns):
            x = MARGIN + column * (found.card_width + GAP)
            cards.append(_card(found, blocks[number], number, x, y + STAGE_HEAD))
        y += found.row_height(row) + found.row_gap
    return Sheet(
        width, height, tuple(nodes), blocks, stages, found, tuple(cards), tuple(lines), top
    )


def _stage_lines(
    found: Arrangement, stages: Sequence[Stage], first: int, end: int, y: float
) -> Iterator[StageLine]:
    for stage in stages:
        begin, stop = max(first, stage.first), min(end, stage.end)
        if begin < stop:
            x = MARGIN + (begin - first) * (found.card_width + GAP)
            width = (stop - begin) * (found.card_width + GAP) - GAP
            yield StageLine(stage, x, y, width, begin > stage.first)


def _card(found: Arrangement, block: Block, number: int, x: float, y: float) -> Card:
    tile = Box(x, y + TITLE, found.tile_width, found.tile_height)
    per_line = found.per_line(len(block.members))
    side, top = found.thumb, tile.y + tile.height
    thumbs = []
    for count, place in enumerate(block.members):
        line, column = divmod(count, per_line)
        left = x + column * (side + 1)
        upper = top + line * found.line_height + LANE
        thumbs.append(Thumb(place, Box(left, upper, side, side)))
    return Card(number, x, y, found.card_width, tile, tuple(thumbs))


def bar_box(found: Arrangement, thumb: Thumb) -> Box:
    """The room of a thumbnail's bar."""
    letters = LETTER if found.letters else 1.5
    box = thumb.box
    return Box(box.x, box.y + box.height + letters, box.width, found.bar)
