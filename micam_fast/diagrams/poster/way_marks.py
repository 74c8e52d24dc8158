"""Ways around on a poster: elbows above thumbnails, pills for connections between far blocks."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Mark, Path, Point, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.palette import SMALL, WAY
from micam_fast.diagrams.poster.sheet import Card, Sheet, Thumb
from micam_fast.diagrams.poster.ways import BlockWays, SideBranch

_WIDTH = 0.9
_LANES = 3
"""Elbows above each other, at most; further ones share the uppermost."""
_PILL_HEIGHT = 10.5
_PILL_FILL = (247, 249, 252)


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
    spans = dict.fromkeys((elbow.source, elbow.join) for elbow in ways.elbows)
    side = ways.side
    if side is not None and not card.side:
        spans |= dict.fromkeys(_ways_around(side, list(thumbs), reads))
    lanes: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    ends = [
        (None if source is None else thumbs[source], thumbs[target])
        for source, target in spans
        if target in thumbs and (source is None or source in thumbs)
    ]
    ends.sort(key=lambda each: each[1].box.x - (card.x if each[0] is None else each[0].box.x))
    for source, target in ends:
        yield from _elbow(card, source, target, lanes)
    if card.side and side is not None:
        begin = None if side.source is None else thumbs.get(side.source)
        yield from _side_elbows(card, begin, thumbs[side.join])


def _ways_around(
    side: SideBranch, row: Sequence[int], reads: Sequence[Sequence[int]]
) -> Iterator[tuple[int | None, int]]:
    """What neighbours in a row do not tell where a side branch is among them.

    Its first layer does not read the layer before it, and the join reads the main way, too.
    """
    before = {place: last for last, place in itertools.pairwise(row)}
    for target in (side.members[0], side.join):
        for source in reads[target]:
            if target in before and source != before[target]:
                if source in before or source == row[0]:
                    yield source, target
                elif target == side.members[0]:
                    yield None, target


def _elbow(
    card: Card,
    source: Thumb | None,
    join: Thumb,
    lanes: defaultdict[int, list[tuple[float, float]]],
) -> Iterator[Mark]:
    """One way; between lines of thumbnails it runs left of the card."""
    end = join.box.x + join.box.width / 2
    left = card.x - 4
    if source is None or source.line != join.line:
        begin = left
    else:
        begin = source.box.x + source.box.width / 2
    y = join.box.y - 2.2 - 1.9 * _free_lane(lanes[join.line], begin, end)
    points: list[Point] = []
    if source is not None and source.line != join.line:
        x = source.box.x + source.box.width / 2
        up = source.box.y - 2.2 - 1.9 * _free_lane(lanes[source.line], left, x)
        points += [(x, source.box.y - 0.5), (x, up), (left, up), (left, y)]
    elif source is not None:
        points += [(begin, source.box.y - 0.5), (begin, y)]
    else:
        points += [(begin, y)]
    points += [(end, y), (end, join.box.y - 1.5)]
    yield Path(tuple(points), WAY, _WIDTH)
    yield _tip(end, join.box.y)


def _side_elbows(card: Card, source: Thumb | None, join: Thumb) -> Iterator[Mark]:
    """From where the branch begins up to it, and from its end down to the join."""
    first, last = card.side[0].box, card.side[-1].box
    y = join.box.y - 2.2
    middle = first.y + first.height / 2
    x = first.x - 5
    if source is None:
        points: tuple[Point, ...] = ((card.x - 4, y), (x, y))
    else:
        begin = source.box.x + source.box.width / 2
        points = ((begin, source.box.y - 0.5), (begin, y), (x, y))
    yield Path((*points, (x, middle), (first.x - 1, middle)), WAY, _WIDTH)
    end = join.box.x + join.box.width / 2
    right, bottom = last.x + last.width, last.y + last.height / 2
    turn = max(end, right + 4)
    yield Path(
        ((right + 1, bottom), (turn, bottom), (turn, y), (end, y), (end, join.box.y - 1.5))
        if turn != end
        else ((right + 1, bottom), (end, bottom), (end, join.box.y - 1.5)),
        WAY,
        _WIDTH,
    )
    yield _tip(end, join.box.y)


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
        if sources:
            yield from _pill(card.room, sources, incoming=True)
        if targets:
            yield from _pill(card.room, targets, incoming=False)


def _pill(room: Box, numbers: Sequence[int], *, incoming: bool) -> Iterator[Mark]:
    """At the upper left corner what comes in, at the lower right what leaves."""
    arrow, gap, pad = 8.0, 4.0, 3.0
    words = [str(number + 1) for number in numbers]
    widths = [text_width(word, SMALL) + arrow + 1 for word in words]
    shown = len(words)
    while shown > 1 and 2 * pad + sum(widths[:shown]) + gap * (shown - 1) > room.width - 8:
        shown -= 1
    rest = f"+{len(words) - shown}" if shown < len(words) else ""
    if rest and shown > 1:
        shown -= 1
        rest = f"+{len(words) - shown}"
    width = 2 * pad + sum(widths[:shown]) + gap * (shown - 1)
    if rest:
        width += gap + text_width(rest, SMALL)
    x = room.x if incoming else room.x + room.width - width
    y = room.y if incoming else room.y + room.height - _PILL_HEIGHT
    corners = ((x, y), (x + width, y), (x + width, y + _PILL_HEIGHT), (x, y + _PILL_HEIGHT))
    yield Path(corners, _PILL_FILL, 0, filled=True, closed=True)
    x, baseline = x + pad, y + _PILL_HEIGHT - 2.6
    for word, taken in zip(words[:shown], widths[:shown], strict=True):
        number_x, arrow_x = (x, x + taken - arrow + 1) if incoming else (x + arrow, x)
        yield Text(number_x, baseline, word, SMALL, WAY, bold=True)
        yield from _arrow(arrow_x, baseline - 2.8)
        x += taken + gap
    if rest:
        yield Text(x, baseline, rest, SMALL, WAY)


def _arrow(x: float, y: float) -> Iterator[Path]:
    yield Path(((x, y), (x + 4.5, y)), WAY, 0.9)
    corners = ((x + 3.4, y - 2.2), (x + 6.8, y), (x + 3.4, y + 2.2))
    yield Path(corners, WAY, 0, filled=True, closed=True)
