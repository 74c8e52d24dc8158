"""What a poster's cards show of the network alone: titles, arrows, letters, frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from micam_fast.core.texts import count_of
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import BLACK, GREY, INK, Mark, Path, Text
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.arrangement import GAP, LETTER
from micam_fast.diagrams.poster.kinds import has_kernel, letter_of
from micam_fast.diagrams.poster.palette import CARD, LINE, QUIET, SMALL, STAGE
from micam_fast.diagrams.poster.sheet import Card, Sheet, StageLine


def card_marks(sheet: Sheet, channels: Sequence[int | None]) -> Iterator[Mark]:
    """All that stands around the maps.

    Parameters
    ----------
    sheet
        The page.
    channels
        Of the map that each card shows.
    """
    for line in sheet.lines:
        yield from _stage_marks(line)
    readers = {(block.members[0], place) for block in sheet.blocks for place in block.members}
    del readers
    for card in sheet.cards:
        yield from _title_marks(sheet, card, channels[card.block])
        yield from _arrow_marks(sheet, card)
        for thumb in card.thumbs:
            node = sheet.nodes[thumb.place]
            if sheet.arrangement.letters:
                yield _letter_mark(node, thumb.box)


def frame_marks(sheet: Sheet) -> Iterator[Mark]:
    """Dark frames around the thumbnails of layers with a kernel; they stand upon the maps."""
    for card in sheet.cards:
        for thumb in card.thumbs:
            if has_kernel(sheet.nodes[thumb.place]):
                yield box_path(thumb.box, INK, 0.9)


def box_path(box: Box, colour: tuple[int, int, int], width: float) -> Path:
    """The outline of a rectangle, within it."""
    half = width / 2
    left, top = box.x + half, box.y + half
    right, bottom = box.x + box.width - half, box.y + box.height - half
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Path(corners, colour, width, closed=True)


def _stage_marks(line: StageLine) -> Iterator[Mark]:
    stage = line.stage
    baseline = line.y + STAGE
    title = f"… {stage.title}" if line.continued else stage.title
    bold = not line.continued
    yield Text(line.x, baseline, title, STAGE, QUIET if line.continued else BLACK, bold=bold)
    count = stage.end - stage.first
    if count > 1 and not line.continued:
        left = line.x + text_width(title, STAGE) + 12
        words = f"{count_of(count, 'block')}, {count_of(stage.layers, 'layer')}"
        if left + text_width(words, SMALL) <= line.x + line.width:
            yield Text(left, baseline, words, SMALL, QUIET)
    rule = line.y + STAGE + 4
    colour, width = (LINE, 0.6) if line.continued else (INK, 1.0)
    yield Path(((line.x, rule), (line.x + line.width, rule)), colour, width)


def _title_marks(sheet: Sheet, card: Card, channels: int | None) -> Iterator[Mark]:
    baseline = card.y + CARD + 1
    room = card.width
    title = sheet.blocks[card.block].title
    words = "" if channels is None else f"{channels} ch"
    taken = text_width(words, SMALL)
    if words and text_width(title, CARD) + 6 + taken <= room:
        yield Text(card.x + card.width - taken, baseline, words, SMALL, QUIET)
    shown = fit_line(title, CARD, room)
    yield Text(card.x, baseline, shown, CARD, BLACK, None if shown == title else title, bold=True)


def _arrow_marks(sheet: Sheet, card: Card) -> Iterator[Mark]:
    """A small triangle before each card that reads the one before it."""
    if card.block == 0:
        return
    before = sheet.cards[card.block - 1]
    y = card.tile.y + card.tile.height / 2
    x = card.x - GAP / 2 - 1.5
    yield Path(((x - 1, y - 3.2), (x + 4, y), (x - 1, y + 3.2)), GREY, 0, filled=True, closed=True)
    if before.y != card.y:
        x, y = before.x + before.width + 3, before.tile.y + before.tile.height / 2
        yield Path(((x, y - 3), (x + 4, y - 3), (x + 4, y + 3)), GREY, 1.0)
        tip = ((x + 1.6, y + 2.5), (x + 6.4, y + 2.5), (x + 4, y + 6.5))
        yield Path(tip, GREY, 0, filled=True, closed=True)


def _letter_mark(node: Node, box: Box) -> Text:
    letter = letter_of(node)
    bold = has_kernel(node)
    x = box.x + (box.width - text_width(letter, SMALL)) / 2
    return Text(
        x, box.y + box.height + LETTER - 2, letter, SMALL, INK if bold else QUIET, bold=bold
    )
