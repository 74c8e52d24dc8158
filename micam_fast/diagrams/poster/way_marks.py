"""Ways around on a poster: elbows above thumbnails, pills for connections between far blocks."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Boxes, Mark, Path, Point, Text
from micam_fast.diagrams.poster.arrangement import PILLS
from micam_fast.diagrams.poster.palette import SMALL, WAY
from micam_fast.diagrams.poster.sheet import Card, Sheet, Thumb
from micam_fast.diagrams.poster.ways import BlockWays

_WIDTH = 0.9
_LANES = 3
"""Elbows above each other, at most; further ones share the uppermost."""
_Lanes = defaultdict[int, list[tuple[float, float]]]
"""By line of thumbnails: begin and end of the ways above it."""
_PILL_HEIGHT, _PILL_PAD, _PILL_GAP, _ARROW = 10.5, 3.0, 4.0, 8.0
_LEAST_PAIR = 90.0
"""Width of the narrowest card that has two pills side by side."""
_PILL_FILL = (238, 243, 250)


def elbow_marks(sheet: Sheet) -> Iterator[Mark]:
    """Lines from where a way leaves the row of thumbnails to the join where it comes back."""
    places = {node.key: place for place, node in enumerate(sheet.nodes)}
    reads = [[places[link.source] for link in node.links] for node in sheet.nodes]
    for card in sheet.cards:
        for number in card.entry.shown:
            own = set(sheet.blocks[number].members)
            thumbs = {each.place: each for each in card.thumbs if each.place in own}
            yield from _block_elbows(card, thumbs, sheet.ways.blocks[number], reads)


def _block_elbows(
    card: Card, thumbs: Mapping[int, Thumb], ways: BlockWays, reads: Sequence[Sequence[int]]
) -> Iterator[Mark]:
    row, apart = list(thumbs), () if not card.side or ways.side is None else ways.side.members
    spans = [
        *((elbow.source, elbow.join) for elbow in ways.elbows if elbow.source is None),
        *_ways_around(row, reads, apart),
    ]
    lanes: _Lanes = defaultdict(list)
    if card.side and ways.side is not None:
        begin = None if ways.side.source is None else thumbs.get(ways.side.source)
        yield from _side_elbows(card, begin, thumbs[ways.side.join], lanes)
    ends = [
        (None if source is None else thumbs[source], thumbs[target])
        for source, target in dict.fromkeys(spans)
    ]
    ends.sort(key=lambda each: each[1].box.x - (card.x if each[0] is None else each[0].box.x))
    for source, target in ends:
        yield from _elbow(card, source, target, lanes)


def _ways_around(
    row: Sequence[int], reads: Sequence[Sequence[int]], apart: Sequence[int]
) -> Iterator[tuple[int | None, int]]:
    """What neighbours in a row do not tell: sources that are not the layer before.

    A layer that does not read its neighbour, and nothing else in its row, reads what enters.
    """
    own = set(row)
    for before, target in itertools.pairwise(row):
        inside = [source for source in reads[target] if source in own]
        yield from ((source, target) for source in inside if source != before)
        if not inside and not any(source in apart for source in reads[target]):
            yield None, target


def _elbow(card: Card, source: Thumb | None, join: Thumb, lanes: _Lanes) -> Iterator[Mark]:
    """One way; between lines of thumbnails it runs left of the card."""
    end, left = _inward(join), card.x - 4
    there = source is not None and source.line == join.line
    begin = left if source is None or not there else _outward(source)
    y = _lane_above(join, lanes, begin, end)
    points: list[Point] = [(begin, y)]
    if source is not None:
        x = _outward(source)
        points = [(x, source.box.y - 0.5), *points]
        if not there:
            up = _lane_above(source, lanes, left, x)
            points[1:1] = [(x, up), (left, up)]
    points += [(end, y), (end, join.box.y - 1.5)]
    yield Path(tuple(points), WAY, _WIDTH)
    yield _tip(end, join.box.y)


def _side_elbows(card: Card, source: Thumb | None, join: Thumb, lanes: _Lanes) -> Iterator[Mark]:
    """From where the branch begins up to it, and from its end down to the join."""
    first, last = card.side[0].box, card.side[-1].box
    middle, x = first.y + first.height / 2, first.x - 5
    begin = card.x - 4 if source is None else _outward(source)
    y = _lane_above(join, lanes, begin, x)
    points: list[Point] = [] if source is None else [(begin, source.box.y - 0.5)]
    points += [(begin, y), (x, y), (x, middle), (first.x - 1, middle)]
    yield Path(tuple(points), WAY, _WIDTH)
    end, right = _inward(join), last.x + last.width
    turn = max(end, right + 4)
    y = _lane_above(join, lanes, end, turn)
    corners = [(turn, middle), (turn, y), (end, y)] if turn > end else [(end, middle)]
    yield Path(((right + 1, middle), *corners, (end, join.box.y - 1.5)), WAY, _WIDTH)
    yield _tip(end, join.box.y)


def _outward(thumb: Thumb) -> float:
    """Where ways leave a thumbnail: right of where they come in."""
    return thumb.box.x + 0.66 * thumb.box.width


def _inward(thumb: Thumb) -> float:
    return thumb.box.x + 0.34 * thumb.box.width


def _lane_above(thumb: Thumb, lanes: _Lanes, begin: float, end: float) -> float:
    """The height of a free lane above a thumbnail's line, between these places."""
    return thumb.box.y - 2.2 - 1.9 * _free_lane(lanes[thumb.line], begin, end)


def _free_lane(taken: list[tuple[float, float]], begin: float, end: float) -> int:
    """The lowest lane where nothing lies between these places; how many have been taken there."""
    low, high = min(begin, end), max(begin, end)
    lane = sum(low < right + 2 and high > left - 2 for left, right in taken)
    taken.append((low, high))
    return min(lane, _LANES - 1)


def _tip(x: float, y: float) -> Path:
    corners = ((x, y), (x - 1.8, y - 3.2), (x + 1.8, y - 3.2))
    return Path(corners, WAY, 0, filled=True, closed=True)


def pill_marks(sheet: Sheet) -> Iterator[Mark]:
    """Numbers of far blocks that a block is read by, at its tile's end, or reads, at its begin."""
    card_of = {
        number: card for card in sheet.cards for number in range(card.entry.first, card.entry.end)
    }
    out: defaultdict[int, list[int]] = defaultdict(list)
    into: defaultdict[int, list[int]] = defaultdict(list)
    for edge in sheet.ways.long:
        out[edge.source].append(edge.target)
        into[edge.target].append(edge.source)
    for card in sheet.cards:
        inside = range(card.entry.first, card.entry.end)
        targets = sorted({n for b in inside for n in out[b] if card_of.get(n) is not card})
        sources = sorted({n for b in inside for n in into[b] if card_of.get(n) is not card})
        both = bool(sources and targets)
        # Two of them need some width; else what leaves stands upon the tile's lower end.
        apart = both and card.width < _LEAST_PAIR
        most = card.width / 2 - 1 if both and not apart else card.width
        above, below = card.room.y - PILLS, card.room.y + card.room.height - _PILL_HEIGHT
        if sources:
            yield from _pill(card, above, sources, most, incoming=True)
        if targets:
            yield from _pill(card, below if apart else above, targets, most, incoming=False)


def _pill(
    card: Card, y: float, numbers: Sequence[int], most: float, *, incoming: bool
) -> Iterator[Mark]:
    """At the left what comes in, at the right what leaves; at most so wide."""
    words = list(_number_words(numbers))
    widths = [text_width(word, SMALL) + _ARROW + 1 for word in words]
    shown, rest = len(words), ""
    while shown > 1 and _pill_width(widths[:shown], rest) > most:
        shown -= 1
        rest = f"+{len(words) - shown}"
    width = _pill_width(widths[:shown], rest)
    x = card.x if incoming else card.x + card.width - width
    yield Boxes(np.array([[x, y, width, _PILL_HEIGHT]]), _PILL_FILL)
    x, baseline = x + _PILL_PAD, y + _PILL_HEIGHT - 2.6
    for word, taken in zip(words[:shown], widths[:shown], strict=True):
        number_x, arrow_x = (x, x + taken - _ARROW + 1) if incoming else (x + _ARROW, x)
        yield Text(number_x, baseline, word, SMALL, WAY, bold=True)
        yield from _arrow(arrow_x, baseline - 2.8)
        x += taken + _PILL_GAP
    if rest:
        yield Text(x, baseline, rest, SMALL, WAY)


def _pill_width(widths: Sequence[float], rest: str) -> float:
    inner = sum(widths) + _PILL_GAP * (len(widths) - 1)
    return 2 * _PILL_PAD + inner + (_PILL_GAP + text_width(rest, SMALL) if rest else 0.0)


def _number_words(numbers: Sequence[int]) -> Iterator[str]:
    """Numbers as cards have them, from 1; three or more that follow each other as ``17-22``."""
    keyed = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    for _, group in keyed:
        run = [number + 1 for _, number in group]
        if len(run) > 2:
            yield f"{run[0]}-{run[-1]}"
        else:
            yield from map(str, run)


def _arrow(x: float, y: float) -> Iterator[Path]:
    yield Path(((x, y), (x + 4.5, y)), WAY, 0.9)
    corners = ((x + 3.4, y - 2.2), (x + 6.8, y), (x + 3.4, y + 2.2))
    yield Path(corners, WAY, 0, filled=True, closed=True)
