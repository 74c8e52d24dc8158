"""How a poster's cards stand in rows: as many columns as let tiles and thumbnails be largest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.poster.panes import Panes

_LEAST_COLUMNS, _MOST_COLUMNS = 2, 30
GAP = 12.0
"""Between cards, with the arrow from one to the next."""
STAGE_HEAD, TITLE = 20.0, 15.0
"""Heights of a stage's line above its cards, and of a card's title."""
LANE = 8.0
"""Above a line of thumbnails, for the ways around."""
LETTER = 9.5
"""Height of the letters below thumbnails."""
LETTERS_FROM = 11.0
"""Side of the smallest thumbnails that have a letter."""
NUMBERS_WIDTH, NUMBERS_HEIGHT = 38.0, 48.0
"""Beside the main tile, for its largest and its smallest value."""
NUMBERS_LINE = 10.5
"""Below the title for these, where there is no room beside the tile."""
PILLS = 12.0
"""Above the tiles, for the numbers of far cards, where a card of the page has some."""
CAPTION = 26.0
"""Below the tiles of cards with one layer each, in place of thumbnails."""
LINE_GAP, ROW_GAP = 3.0, 8.0
_MOST_ROW_GAP = 30.0

_THUMBS = (
    7.5, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 16.0, 18.0, 20.0, 22.0, 24.0, 28.0, 32.0, 40.0,
    48.0, 56.0, 64.0,
)  # fmt: skip
_LEAST_THUMB = 7.0
"""Height of the lowest thumbnail."""
_LEAST_TILE, _MOST_TILE = 18.0, 240.0
_LOW = 0.3
"""Height of the tiles of a row of lists, by that of the others."""
_LEAST_NUMBERS = 62.0
"""Width of the narrowest card that has a line of numbers."""
# What is larger than these is pleasant, but shows little more.
_ENOUGH_TILE, _ENOUGH_THUMB = 110.0, 20.0
_MORE = 0.4
_ROW_COSTS = (0.3, 1.0, 3.0)
Numbers = Literal["beside", "line"]
_MODES: tuple[tuple[bool, Numbers], ...] = ((True, "beside"), (False, "beside"), (False, "line"))
"""Whether side branches stand beside the tile, and where numbers do."""


@dataclass(frozen=True)
class CardNeed:
    """What a card shows.

    Attributes
    ----------
    thumbs
        Thumbnails in lines below the main tile.
    side
        Further ones, of a branch that stands beside the tile where there is room.
    stage
        Number of its stage.
    tiles
        Main tiles: of a run of blocks that are alike, the first and the last.
    low
        Whether the main tile is a list of values, which needs less height.
    """

    thumbs: int
    side: int
    stage: int
    tiles: int = 1
    low: bool = False


@dataclass(frozen=True)
class Row:
    """Cards side by side.

    Attributes
    ----------
    first, end
        Places of the first card and behind the last one.
    lines
        Of thumbnails, of the card that has the most.
    tile_height
        Of the main tiles' room.
    """

    first: int
    end: int
    lines: int
    tile_height: float


@dataclass(frozen=True)
class Arrangement:
    """Sizes that all cards of a page share, in its units, and the cards of each row.

    Attributes
    ----------
    columns, card_width
        Cards in a full row, and the width of each.
    title_height
        Above the main tiles, with the line of numbers where there is one.
    tile_width, tile_height
        Of the main tile's room, but in rows of lists.
    thumb, thumb_height
        Width and height of a thumbnail.
    row_gap
        Below each row.
    beside
        Whether side branches stand beside the main tile; else they are among the other thumbnails.
    numbers
        Where the largest and the smallest value of the main tile stand.
    captions
        Whether each card is one layer, with a caption in place of thumbnails.
    panes
        The main tiles in their room.
    worth
        How good it is to look at, beside other arrangements.
    """

    columns: int
    card_width: float
    title_height: float
    tile_width: float
    tile_height: float
    thumb: float
    thumb_height: float
    rows: tuple[Row, ...]
    row_gap: float
    beside: bool
    numbers: Numbers | None
    captions: bool
    panes: Panes
    worth: float = -math.inf

    @property
    def letters(self) -> bool:
        """Whether thumbnails have letters."""
        return self.thumb >= LETTERS_FROM and not self.captions

    @property
    def bar(self) -> float:
        """Height of the room of a bar."""
        return _bar(self.thumb_height)

    @property
    def line_height(self) -> float:
        """From one line of thumbnails to the next."""
        return _line_height(self.thumb, self.thumb_height)

    def row_height(self, row: Row) -> float:
        """Of a row, without the gap below."""
        below = CAPTION if self.captions else row.lines * self.line_height
        return STAGE_HEAD + self.title_height + row.tile_height + below

    def per_line(self, thumbs: int) -> int:
        """How many of so many thumbnails stand in each line: lines are as even as can be."""
        lines = max(1, math.ceil(thumbs / _most_per_line(self.card_width, self.thumb)))
        return max(1, math.ceil(thumbs / lines))


def arrange_cards(
    needs: Sequence[CardNeed],
    width: float,
    height: float,
    panes: Panes,
    thumb_aspect: float = 1.0,
    *,
    pills: bool = False,
) -> Arrangement | None:
    """The best arrangement of cards on a body of this size; ``None`` where they do not fit.

    Parameters
    ----------
    needs
        Of the cards, in reading order.
    width, height
        Of the room for all cards.
    panes
        The main tiles of each.
    thumb_aspect
        Width of the thumbnails by their height.
    pills
        Whether cards have numbers of far cards.
    """
    body = _Body(needs, width, height, panes, thumb_aspect, pills)
    best: Arrangement | None = None
    for columns in range(_LEAST_COLUMNS, _MOST_COLUMNS + 1):
        if body.card_width(columns) < _LEAST_TILE:
            break
        if not body.may_hold(columns):
            continue
        for breaks in dict.fromkeys(_breaks(needs, columns, cost) for cost in _ROW_COSTS):
            penalty = _penalty(needs, breaks, columns)
            for thumb, (beside, numbers) in itertools.product(_THUMBS, _MODES):
                found = body.arranged(columns, breaks, thumb, beside, numbers)
                if found is not None:
                    worth = _worth(found, height) - penalty
                    if best is None or worth > best.worth + 1e-9:
                        best = replace(found, worth=worth)
    return best


class _Body:
    """The room for all cards, and what these need."""

    def __init__(
        self,
        needs: Sequence[CardNeed],
        width: float,
        height: float,
        panes: Panes,
        thumb_aspect: float,
        pills: bool,
    ) -> None:
        self._width, self._height = width, height
        self._title = TITLE + (PILLS if pills else 0.0)
        self._panes, self._thumb_aspect = panes, thumb_aspect
        self._thumbs, self._side, self._tiles, self._low = (
            np.array([getattr(each, name) for each in needs])
            for name in ("thumbs", "side", "tiles", "low")
        )
        self._captions = bool(((self._thumbs == 1) & (self._side == 0) & (self._tiles == 1)).all())

    def card_width(self, columns: int) -> float:
        """Of each of so many cards in a row."""
        return (self._width + GAP) / columns - GAP

    def may_hold(self, columns: int) -> bool:
        """Whether rows of so many cards fit if all are full and as low as can be."""
        least = _LEAST_TILE / max(1.0, self._panes.aspect)
        lowest = STAGE_HEAD + self._title + self._panes.height_of(least)
        lowest += CAPTION if self._captions else self._line_height(_THUMBS[0])
        rows = math.ceil(len(self._tiles) / columns)
        return rows * (lowest + ROW_GAP) <= self._height + ROW_GAP

    def arranged(
        self,
        columns: int,
        breaks: tuple[int, ...],
        thumb: float,
        beside: bool,
        numbers: Numbers,
    ) -> Arrangement | None:
        """An arrangement with these rows and thumbnails, its tiles as large as they can be."""
        card_width = self.card_width(columns)
        if thumb > card_width or (beside and not self._side.any()):
            return None
        if thumb / self._thumb_aspect < _LEAST_THUMB and not self._captions:
            return None
        if numbers == "line" and (self._captions or card_width < _LEAST_NUMBERS):
            return None
        lines = np.maximum.reduceat(self._lines(card_width, thumb, beside), breaks[:-1])
        count = len(lines)
        below = CAPTION * count if self._captions else int(lines.sum()) * self._line_height(thumb)
        title = self._title + (NUMBERS_LINE if numbers == "line" else 0.0)
        panes, wide = self._panes, max(1.0, self._panes.aspect)
        between = panes.height_of(0.0)
        taken = (STAGE_HEAD + title + between + ROW_GAP) * count + below
        shares = np.where(np.logical_and.reduceat(self._low, breaks[:-1]), _LOW, 1.0)
        if (shares == _LOW).all():
            shares = np.ones(count)
        room = (self._height + ROW_GAP - taken) / float(shares.sum())
        most = min(card_width, panes.width_of(_MOST_TILE * wide))
        tile_width, tile_height = panes.room_in(most, room + between)
        own_width, own_height = panes.tile_in(tile_width)
        if min(own_width, own_height * wide) < _LEAST_TILE:
            return None
        there = card_width - tile_width >= NUMBERS_WIDTH and tile_height >= NUMBERS_HEIGHT
        needed = card_width >= _LEAST_NUMBERS and not self._captions
        if numbers == "beside" and needed and not there:
            return None
        branch = NUMBERS_WIDTH + int(self._side.max()) * (thumb + 1) + 12
        if beside and card_width - tile_width < branch:
            return None
        left = (room - (tile_height - between)) * float(shares.sum()) / max(1, count - 1)
        gap = min(_MOST_ROW_GAP, ROW_GAP + left)
        rows = tuple(
            Row(first, end, int(most_lines), panes.height_of(own_height * float(share)))
            for (first, end), most_lines, share in zip(
                itertools.pairwise(breaks), lines, shares, strict=True
            )
        )
        return Arrangement(
            columns,
            card_width,
            title,
            tile_width,
            tile_height,
            thumb,
            thumb / self._thumb_aspect,
            rows,
            gap,
            beside,
            numbers if numbers == "line" or there else None,
            self._captions,
            panes,
        )

    def _line_height(self, thumb: float) -> float:
        return _line_height(thumb, thumb / self._thumb_aspect)

    def _lines(self, card_width: float, thumb: float, beside: bool) -> NDArray[np.int64]:
        """``(cards,)``: lines of thumbnails of each."""
        # A run shows the whole blocks, so that both stand below each other.
        apart = (self._tiles == 1) & beside
        thumbs = self._thumbs + np.where(apart, 0, self._side)
        lines = -(-thumbs // _most_per_line(card_width, thumb))
        return np.asarray(self._tiles * np.maximum(1, lines))


def _worth(found: Arrangement, height: float) -> float:
    width, tall = found.panes.tile_in(found.tile_width)
    tile = math.sqrt(width * tall)
    used = sum(found.row_height(row) + found.row_gap for row in found.rows)
    worth = _gain(tile, _ENOUGH_TILE)
    if not found.captions:
        side = math.sqrt(found.thumb * found.thumb_height)
        worth += 0.75 * _gain(side, _ENOUGH_THUMB)
    if found.numbers is not None:
        worth += 0.1
    if found.beside:
        worth += 0.1
    if found.letters:
        worth += 0.6
    wrapped = sum(row.lines - 1 for row in found.rows) / len(found.rows)
    return worth - 0.3 * max(0.0, 1 - used / height) - 0.32 * wrapped


def _gain(size: float, enough: float) -> float:
    return math.log(min(size, enough)) + _MORE * math.log(max(size / enough, 1.0))


def _penalty(needs: Sequence[CardNeed], breaks: tuple[int, ...], columns: int) -> float:
    """For stages that are split, and for cards that stand alone."""
    rows = list(itertools.pairwise(breaks))
    split = sum(needs[end - 1].stage == needs[end].stage for _, end in rows[:-1])
    alone = sum(
        end - first == 1
        and (needs[first].low or first == 0 or needs[first - 1].stage == needs[first].stage)
        for first, end in rows
    )
    empty = 1 - len(needs) / (columns * len(rows))
    share = alone / len(rows) if len(rows) > 1 else 0.0
    return 0.7 * split / len(rows) + 0.5 * share + 0.25 * empty


def _breaks(needs: Sequence[CardNeed], columns: int, row_cost: float) -> tuple[int, ...]:
    """Where rows begin, and where the last one ends, at the least cost."""
    count = len(needs)
    least = [0.0] + [math.inf] * count
    begins = [0] * (count + 1)
    for end in range(1, count + 1):
        splits = end < count and needs[end - 1].stage == needs[end].stage
        for first in range(max(0, end - columns), end):
            empty = (columns - (end - first)) / columns
            cost = least[first] + row_cost + 0.3 * empty + 0.6 * empty**2
            if splits:
                cost += 1.0
            if end - first == 1 and first > 0 and needs[first - 1].stage == needs[first].stage:
                cost += 1.0
            if cost < least[end] - 1e-9:
                least[end], begins[end] = cost, first
    found = [count]
    while found[-1] > 0:
        found.append(begins[found[-1]])
    return tuple(reversed(found))


def _most_per_line(card_width: float, thumb: float) -> int:
    return max(1, math.floor((card_width + 1) / (thumb + 1)))


def _bar(thumb_height: float) -> float:
    return min(max(1.1 * thumb_height, 11.0), 28.0)


def _line_height(thumb: float, thumb_height: float) -> float:
    letters = LETTER if thumb >= LETTERS_FROM else 1.5
    return LANE + thumb_height + letters + _bar(thumb_height) + LINE_GAP
