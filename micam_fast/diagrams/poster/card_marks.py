"""What a poster's cards show of the network alone: titles, arrows, letters, frames."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from micam_fast.core.texts import count_of
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import BLACK, GREY, INK, RULE, Mark, Path, Text
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.arrangement import GAP, LETTER, NUMBERS_LINE
from micam_fast.diagrams.poster.kinds import kind_of
from micam_fast.diagrams.poster.palette import CARD, LINE, QUIET, SMALL, STAGE, WAY, box_path
from micam_fast.diagrams.poster.sheet import Card, Sheet, StageLine

NUMBERS_LENGTH = 78.0
"""Width of the longest line of numbers, with a gap."""

_SEPARATOR = re.compile("[^/._]*[/._]")
"""A part of a name, with what is behind it."""


def card_marks(sheet: Sheet, channels: Sequence[int | None]) -> Iterator[Mark]:
    """All that stands around the maps.

    Parameters
    ----------
    sheet
        The page.
    channels
        Of the map that each block shows.
    """
    for line in sheet.lines:
        yield from _stage_marks(line)
    before: Card | None = None
    for card in sheet.cards:
        yield from _title_marks(sheet, card, channels[card.entry.shown[-1]])
        yield from _arrow_marks(sheet, before, card)
        before = card
    yield from _pane_marks(sheet)
    if sheet.arrangement.captions:
        yield from _caption_marks(sheet)
    if sheet.arrangement.letters:
        for thumb in sheet.thumbs:
            yield _letter_mark(sheet.nodes[thumb.place], thumb.box)


def frame_marks(sheet: Sheet, *, outlined: bool) -> Iterator[Mark]:
    """Dark frames around the thumbnails of layers with a kernel; they stand upon the maps.

    Where maps are outlined, there is a pale line around each that has none of these.
    """
    if outlined:
        tiles = (tile for card in sheet.cards for tile in card.tiles)
        for each in (*tiles, *sheet.thumbs):
            yield box_path(each.shown, RULE, 0.5)
    for thumb in sheet.thumbs:
        if kind_of(sheet.nodes[thumb.place]).has_kernel:
            yield box_path(thumb.shown, INK, 0.9)


def _stage_marks(line: StageLine) -> Iterator[Mark]:
    stage = line.stage
    baseline = line.y + STAGE
    title = f"… {stage.title}" if line.continued else stage.title
    colour = QUIET if line.continued else BLACK
    yield Text(line.x, baseline, title, STAGE, colour, bold=not line.continued)
    count = stage.end - stage.first
    if count > 1 and not line.continued:
        left = line.x + text_width(title, STAGE) + 12
        words = f"{count_of(count, 'block')}, {count_of(stage.layers, 'layer')}"
        if left + text_width(words, SMALL) <= line.x + line.width:
            yield Text(left, baseline, words, SMALL, QUIET)
    rule = line.y + STAGE + 4
    colour, width = (LINE, 0.6) if line.continued else (INK, 1.0)
    yield Path(((line.x, rule), (line.x + line.width, rule)), colour, width)


def numbers_line(card: Card) -> float:
    """The baseline of the line of numbers below a title."""
    return card.y + CARD + NUMBERS_LINE


def _title_marks(sheet: Sheet, card: Card, channels: int | None) -> Iterator[Mark]:
    x, room, baseline = card.x, card.width, card.y + CARD + 1
    titles = [sheet.title(number) for number in card.entry.shown]
    title, colour = " … ".join(titles), BLACK
    named = all(sheet.blocks[number].title for number in card.entry.shown)
    if sheet.ways.long and not named:
        colour = WAY
    elif sheet.ways.long:
        number = str(card.entry.first + 1)
        if card.entry.count > 1:
            number += f"…{card.entry.end}"
        yield Text(x, baseline, number, CARD, WAY, bold=True)
        taken = text_width(number, CARD) + 4
        x, room = x + taken, room - taken
    if card.entry.count > 1:
        words = f"x {card.entry.count}"
        taken = text_width(words, SMALL)
        yield Text(x + room - taken, baseline, words, SMALL, QUIET)
        room -= taken + 6
    elif channels is not None:
        words = f"{channels} ch"
        taken = text_width(words, SMALL)
        below = sheet.arrangement.numbers == "line"
        if below and card.width >= taken + NUMBERS_LENGTH:
            left = card.x + card.width - taken
            yield Text(left, numbers_line(card), words, SMALL, QUIET)
        elif text_width(title, CARD) + 6 + taken <= room:
            yield Text(x + room - taken, baseline, words, SMALL, QUIET)
    shown = title
    if text_width(title, CARD) > room:
        shown = fit_line(" … ".join(_without_prefix(sheet, card, titles)), CARD, room)
    yield Text(x, baseline, shown, CARD, colour, None if shown == title else title, bold=True)


def _without_prefix(sheet: Sheet, card: Card, titles: Sequence[str]) -> list[str]:
    """Titles without what all names of their stage begin with, up to a separator."""
    stage = next(each for each in sheet.stages if each.first <= card.entry.first < each.end)
    known = [b.title for b in sheet.blocks[stage.first : stage.end] if _SEPARATOR.search(b.title)]
    pieces = [_SEPARATOR.findall(title) for title in known]
    same = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*pieces, strict=False))
    common = "".join(piece for piece, *_ in same) if len(known) > 1 else ""
    return [title.removeprefix(common) for title in titles]


def _arrow_marks(sheet: Sheet, before: Card | None, card: Card) -> Iterator[Mark]:
    """A small triangle before each card that reads the one before it."""
    if before is None or not sheet.ways.blocks[card.entry.first].follows:
        return
    x, y = card.x - GAP / 2 - 2.5, card.room.y + card.room.height / 2
    yield Path(((x, y - 3.2), (x + 5, y), (x, y + 3.2)), GREY, 0, filled=True, closed=True)
    if before.y != card.y:
        x, y = before.x + before.width + 3, before.room.y + before.room.height / 2
        yield Path(((x, y - 3), (x + 4, y - 3), (x + 4, y + 3)), GREY, 1.0)
        tip = ((x + 1.6, y + 2.5), (x + 6.4, y + 2.5), (x + 4, y + 6.5))
        yield Path(tip, GREY, 0, filled=True, closed=True)


def _pane_marks(sheet: Sheet) -> Iterator[Mark]:
    """What each of several main tiles is: above it, or at its left."""
    panes = sheet.arrangement.panes
    for card in sheet.cards if panes.captions else ():
        for tile in card.tiles:
            words, box = panes.captions[tile.pane], tile.box
            if card.entry.count > 1 and text_width(f"{words}, first", SMALL) <= box.width:
                words = f"{words}, first"
            if panes.stacked:
                y = box.y + box.height / 2 + 0.35 * SMALL
                yield Text(card.x, y, words, SMALL, QUIET)
            else:
                x = box.x + (box.width - text_width(words, SMALL)) / 2
                yield Text(x, box.y - 2.5, words, SMALL, QUIET)


def caption_line(card: Card, line: int) -> float:
    """The baseline of a line below the tile of a card with one layer."""
    return card.room.y + card.room.height + 11 + 12 * line


def _caption_marks(sheet: Sheet) -> Iterator[Mark]:
    for card in sheet.cards:
        layer = sheet.nodes[card.tiles[0].place].layer
        words = fit_line(layer.class_label, SMALL, card.width - 16)
        yield Text(card.x, caption_line(card, 0), words, SMALL, QUIET)


def _letter_mark(node: Node, box: Box) -> Text:
    kind = kind_of(node)
    x = box.x + (box.width - text_width(kind.letter, SMALL)) / 2
    y = box.y + box.height + LETTER - 2
    return Text(x, y, kind.letter, SMALL, INK if kind.has_kernel else QUIET, bold=kind.has_kernel)
