"""Where everything of a poster stands: the page, its cards, their tiles and thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.arrangement import (
    CAPTION,
    GAP,
    LANE,
    LETTER,
    NUMBERS_WIDTH,
    STAGE_HEAD,
    TITLE,
    Arrangement,
    CardNeed,
    arrange_cards,
)
from micam_fast.diagrams.poster.blocks import Block, find_blocks
from micam_fast.diagrams.poster.pixels import fitted
from micam_fast.diagrams.poster.runs import Entry, shorter_entries, single_entries
from micam_fast.diagrams.poster.stages import Stage, find_stages
from micam_fast.diagrams.poster.ways import BlockWays, Ways, find_ways
from micam_fast.maps.layer_map import LayerMap

MARGIN = 18.0
HEADER_TOP = 14.0
HEADER_HEIGHT = 84.0
FOOTER_HEIGHT = 24.0
NARROW = 1000.0
"""A page that is narrower has its three markers in a line below the header."""
MARKER_LINE = 14.0
_TALLER = 1.25
_CAPTION_BAR = 11.0
"""Width of the bar beside a caption."""


@dataclass(frozen=True)
class Thumb:
    """A map on the page.

    Attributes
    ----------
    place
        Of the node.
    box
        Its room.
    shown
        The part of the room that the map takes; all of it where there is no map.
    line
        Of a thumbnail in lines.
    """

    place: int
    box: Box
    shown: Box
    line: int = 0


_Put = Callable[..., Thumb]
"""Makes a thumbnail of a node's place and a room, and the line that it is in."""


@dataclass(frozen=True)
class Card:
    """A block, or a run of blocks that are alike, on the page.

    Attributes
    ----------
    entry
        The blocks that it stands for.
    x, y, width
        Of its upper left corner, where the title stands, and its width.
    room
        Of the main tiles.
    tiles
        Main tiles: two for a run.
    thumbs
        In lines below the tiles.
    side
        Of the branch that stands beside the tile.
    """

    entry: Entry
    x: float
    y: float
    width: float
    room: Box
    tiles: tuple[Thumb, ...]
    thumbs: tuple[Thumb, ...]
    side: tuple[Thumb, ...] = ()

    @property
    def all_thumbs(self) -> tuple[Thumb, ...]:
        """Those in lines, then those beside the tile."""
        return self.thumbs + self.side


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
    """A page with everything in its place.

    Attributes
    ----------
    width, height
        In 1/96 inch; the page is taller than asked for where even runs do not make it fit.
    nodes, blocks, stages, ways
        What is drawn.
    arrangement
        Sizes.
    cards
        In reading order.
    lines
        Of the stages.
    """

    width: float
    height: float
    nodes: tuple[Node, ...]
    blocks: tuple[Block, ...]
    stages: tuple[Stage, ...]
    ways: Ways
    arrangement: Arrangement
    cards: tuple[Card, ...]
    lines: tuple[StageLine, ...]

    @property
    def order(self) -> Iterator[int]:
        """Places of the nodes in the order of the page."""
        return (place for block in self.blocks for place in block.members)

    @property
    def thumbs(self) -> Iterator[Thumb]:
        """All thumbnails."""
        return (thumb for card in self.cards for thumb in card.all_thumbs)

    @property
    def layers(self) -> Iterator[tuple[Thumb, Box]]:
        """Where a layer is shown with its bar, and that one's room; a card may hide some."""
        for card in self.cards:
            if self.arrangement.captions:
                yield card.tiles[0], _caption_bar(card)
            else:
                yield from ((thumb, _bar_box(self.arrangement, thumb)) for thumb in card.all_thumbs)


def lay_out_sheet(
    nodes: Sequence[Node], maps: Mapping[str, LayerMap], page: tuple[float, float], aspect: float
) -> Sheet:
    """Put a network on a page of this width and height.

    Parameters
    ----------
    nodes
        What is drawn, in the diagram's order.
    maps
        Of a sample; their sizes alone count.
    page
        Width and height in 1/96 inch.
    aspect
        Width of main tiles by their height.
    """
    width, height = page
    blocks = find_blocks(nodes).blocks
    stages = find_stages(blocks, nodes, maps)
    ways = find_ways(blocks, nodes)
    top = HEADER_TOP + HEADER_HEIGHT + (MARKER_LINE if width < NARROW else 4.0)
    room = width - 2 * MARGIN
    found, entries, height = _arranged(blocks, nodes, stages, ways, room, height, top, aspect)

    def put(place: int, box: Box, line: int = 0) -> Thumb:
        own = maps.get(nodes[place].key)
        return Thumb(place, box, box if own is None else fitted(own.cam.shape[:2], box), line)

    cards: list[Card] = []
    lines: list[StageLine] = []
    y = top
    for row in found.rows:
        shown = entries[row.first : row.end]
        lines.extend(_stage_lines(found, stages, shown, y))
        for column, entry in enumerate(shown):
            x = MARGIN + column * (found.card_width + GAP)
            cards.append(_card(found, blocks, ways.blocks, entry, x, y + STAGE_HEAD, put))
        y += found.row_height(row) + found.row_gap
    return Sheet(
        width, height, tuple(nodes), blocks, stages, ways, found, tuple(cards), tuple(lines)
    )


def _arranged(
    blocks: Sequence[Block],
    nodes: Sequence[Node],
    stages: Sequence[Stage],
    ways: Ways,
    width: float,
    height: float,
    top: float,
    aspect: float,
) -> tuple[Arrangement, list[Entry], float]:
    """An arrangement that fits: by runs that are one card each, at last by a taller page."""

    def attempts() -> Iterator[tuple[list[Entry], float]]:
        entries, tall = single_entries(blocks), height
        yield entries, tall
        for entries in shorter_entries(blocks, nodes, stages):
            yield entries, tall
        while True:
            tall *= _TALLER
            yield entries, tall

    for entries, tall in attempts():
        needs = _needs(entries, stages, ways.blocks)
        found = arrange_cards(needs, width, tall - FOOTER_HEIGHT - top, aspect)
        if found is not None:
            return found, entries, tall
    raise AssertionError("a page that grows holds all cards at last")


def _needs(
    entries: Sequence[Entry], stages: Sequence[Stage], ways: Sequence[BlockWays]
) -> list[CardNeed]:
    numbers = [n for n, stage in enumerate(stages) for _ in range(stage.first, stage.end)]
    needs = []
    for entry in entries:
        way = ways[entry.first]
        side = 0 if way.side is None else len(way.side.members)
        needs.append(CardNeed(len(way.row), side, numbers[entry.first], len(entry.shown)))
    return needs


def _stage_lines(
    found: Arrangement, stages: Sequence[Stage], shown: Sequence[Entry], y: float
) -> Iterator[StageLine]:
    for stage in stages:
        inside = [n for n, each in enumerate(shown) if stage.first <= each.first < stage.end]
        if inside:
            x = MARGIN + inside[0] * (found.card_width + GAP)
            width = len(inside) * (found.card_width + GAP) - GAP
            yield StageLine(stage, x, y, width, shown[inside[0]].first > stage.first)


def _card(
    found: Arrangement,
    blocks: Sequence[Block],
    ways: Sequence[BlockWays],
    entry: Entry,
    x: float,
    y: float,
    put: _Put,
) -> Card:
    count = len(entry.shown)
    width = found.tile_width
    if count > 1:
        width = min(width, (found.card_width - 4 * (count - 1)) / count)
    room = Box(x, y + TITLE, found.tile_width, found.tile_height)
    tiles = tuple(
        put(blocks[number].exit, Box(x + n * (width + 4), room.y, width, room.height))
        for n, number in enumerate(entry.shown)
    )
    top, line = room.y + room.height, 0
    thumbs: list[Thumb] = []
    side: tuple[Thumb, ...] = ()
    for number in () if found.captions else entry.shown:
        way = ways[number]
        beside = found.beside and count == 1 and way.side is not None
        places = way.row if beside else blocks[number].members
        per_line = found.per_line(len(places))
        for index, place in enumerate(places):
            row, column = divmod(index, per_line)
            left = x + column * (found.thumb + 1)
            upper = top + (line + row) * found.line_height + LANE
            thumbs.append(put(place, Box(left, upper, found.thumb, found.thumb), line + row))
        line += -(-len(places) // per_line)
        if beside and way.side is not None:
            side = _side_thumbs(found, way.side.members, room, put)
    return Card(entry, x, y, found.card_width, room, tiles, tuple(thumbs), side)


def _side_thumbs(
    found: Arrangement, members: Sequence[int], room: Box, put: _Put
) -> tuple[Thumb, ...]:
    """A branch beside the main tile, near the thumbnails that it leads to."""
    left = room.x + room.width + NUMBERS_WIDTH + 10
    top = room.y + room.height - found.line_height + LANE
    return tuple(
        put(place, Box(left + n * (found.thumb + 1), top, found.thumb, found.thumb))
        for n, place in enumerate(members)
    )


def _caption_bar(card: Card) -> Box:
    """At the right below a tile that is the card's only map."""
    top = card.room.y + card.room.height + 4
    return Box(card.x + card.width - _CAPTION_BAR, top, _CAPTION_BAR, CAPTION - 6)


def _bar_box(found: Arrangement, thumb: Thumb) -> Box:
    """The room of a thumbnail's bar."""
    letters = LETTER if found.letters else 1.5
    box = thumb.box
    return Box(box.x, box.y + box.height + letters, box.width, found.bar)
