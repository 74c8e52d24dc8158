"""Where everything of a poster stands: the page, its cards, their tiles and thumbnails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.arrangement import CAPTION, LETTER, Arrangement
from micam_fast.diagrams.poster.blocks import Block
from micam_fast.diagrams.poster.footer import Legend
from micam_fast.diagrams.poster.runs import Entry
from micam_fast.diagrams.poster.stages import Stage
from micam_fast.diagrams.poster.ways import Ways

MARGIN = 18.0
HEADER_TOP = 14.0
HEADER_HEIGHT = 84.0
NARROW = 1000.0
"""A page that is narrower has its markers in a line below the header."""
MARKER_LINE, NOTE_LINE = 14.0, 12.0
"""Height of the first line below the header, and of further ones."""
CAPTION_BAR = 11.0
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
    pane
        Which of the layer's maps it is: the number of a main tile.
    plane
        Whether it is a main tile on a plane in perspective.
    """

    place: int
    box: Box
    shown: Box
    line: int = 0
    pane: int = 0
    plane: bool = False


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
        Main tiles: one, or several maps of the exit; those of a run's first and last block.
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
    nodes, blocks, stages, ways, legend
        What is drawn.
    arrangement
        Sizes.
    cards
        In reading order.
    lines
        Of the stages.
    taller
        Whether the page is taller than asked for.
    """

    width: float
    height: float
    nodes: tuple[Node, ...]
    blocks: tuple[Block, ...]
    stages: tuple[Stage, ...]
    ways: Ways
    legend: Legend
    arrangement: Arrangement
    cards: tuple[Card, ...]
    lines: tuple[StageLine, ...]
    taller: bool

    @property
    def order(self) -> Iterator[int]:
        """Places of the nodes in the order of the page."""
        return (place for block in self.blocks for place in block.members)

    @property
    def thumbs(self) -> Iterator[Thumb]:
        """All thumbnails."""
        return (thumb for card in self.cards for thumb in card.all_thumbs)

    def title(self, block: int) -> str:
        """What a block is called: by its name, else by its number."""
        return self.blocks[block].title or f"block {block + 1}"

    @property
    def layers(self) -> Iterator[tuple[Thumb, Box]]:
        """Where a layer is shown with its bar, and that one's room; a card may hide some."""
        for card in self.cards:
            if self.arrangement.captions:
                yield card.tiles[-1], _caption_bar(card)
            else:
                yield from ((thumb, _bar_box(self.arrangement, thumb)) for thumb in card.all_thumbs)


def _caption_bar(card: Card) -> Box:
    """At the right below a tile that is the card's only map."""
    top = card.room.y + card.room.height + 4
    return Box(card.x + card.width - CAPTION_BAR, top, CAPTION_BAR, CAPTION - 6)


def _bar_box(found: Arrangement, thumb: Thumb) -> Box:
    """The room of a thumbnail's bar."""
    letters = LETTER if found.letters else 1.5
    box = thumb.box
    return Box(box.x, box.y + box.height + letters, box.width, found.bar)
