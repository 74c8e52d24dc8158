"""Puts a network on a page: its blocks in cards, the cards in rows, the maps in the cards."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from micam_fast.core.choices import Look
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.planes import plane_aspect
from micam_fast.diagrams.poster.arrangement import (
    GAP,
    LANE,
    NUMBERS_WIDTH,
    STAGE_HEAD,
    Arrangement,
    CardNeed,
    arrange_cards,
)
from micam_fast.diagrams.poster.blocks import Block, find_blocks
from micam_fast.diagrams.poster.content import Content
from micam_fast.diagrams.poster.footer import Legend
from micam_fast.diagrams.poster.panes import Panes
from micam_fast.diagrams.poster.pixels import fitted
from micam_fast.diagrams.poster.runs import Entry, joined_blocks, shorter_entries, single_entries
from micam_fast.diagrams.poster.sheet import (
    HEADER_HEIGHT,
    HEADER_TOP,
    MARGIN,
    MARKER_LINE,
    NARROW,
    NOTE_LINE,
    Card,
    Sheet,
    StageLine,
    Thumb,
)
from micam_fast.diagrams.poster.stages import VALUES, Stage, apart_lists, find_stages, size_of
from micam_fast.diagrams.poster.ways import BlockWays, Ways, find_ways
from micam_fast.maps.layer_map import LayerMap

_TALLER = 1.25
_ASPECTS = (0.5, 8.0), (0.5, 3.0)
"""Least and largest width by height of main tiles and of thumbnails."""
_Put = Callable[..., Thumb]
"""Makes a thumbnail of a node's place and a room, the line that it is in, and the map."""


def lay_out_sheet(
    nodes: Sequence[Node],
    content: Content,
    page: tuple[float, float],
    input_size: tuple[int, int],
    look: Look = "flat",
) -> Sheet:
    """Put a network on a page of this width and height.

    Parameters
    ----------
    nodes
        What is drawn, in the diagram's order.
    content
        What is shown; sizes alone count.
    page
        Width and height in 1/96 inch.
    input_size
        ``(Hin, Win)``.
    look
        Of main tiles; several of a layer are always flat.
    """
    plan = _best_plan(nodes, content, page, input_size, look)
    network, found = plan.network, plan.arrangement
    last = found.panes.count - 1

    def put(place: int, box: Box, line: int = 0, pane: int = last, tile: bool = False) -> Thumb:
        own = content.maps.get(nodes[place].key)
        size = content.size(nodes[place].key, pane)
        # A list of values has no rows and columns that a plane could show.
        plane = found.panes.planes and tile and own is not None and size_of(own) != VALUES
        shown = box if size is None or plane else fitted(size, box)
        if tile:
            shown = replace(shown, x=box.x)
        return Thumb(place, box, shown, line, pane, plane)

    cards: list[Card] = []
    lines: list[StageLine] = []
    y = _top(page[0], len(content.notes))
    for row in found.rows:
        shown = plan.entries[row.first : row.end]
        lines.extend(_stage_lines(found, network.stages, shown, y))
        for column, entry in enumerate(shown):
            x = MARGIN + column * (found.card_width + GAP)
            cards.append(
                _card(
                    found,
                    network.blocks,
                    network.ways.blocks,
                    entry,
                    x,
                    y + STAGE_HEAD,
                    row.tile_height,
                    put,
                )
            )
        y += found.row_height(row) + found.row_gap
    return Sheet(
        page[0],
        plan.height,
        tuple(nodes),
        network.blocks,
        network.stages,
        network.ways,
        network.legend,
        found,
        tuple(cards),
        tuple(lines),
        plan.height > page[1],
    )


@dataclass(frozen=True)
class _Network:
    """Blocks with all that follows from them, however many cards there are."""

    blocks: tuple[Block, ...]
    stages: tuple[Stage, ...]
    ways: Ways
    legend: Legend


@dataclass(frozen=True)
class _Plan:
    """Cards that fit a page of this height."""

    network: _Network
    entries: tuple[Entry, ...]
    arrangement: Arrangement
    height: float


def _best_plan(
    nodes: Sequence[Node],
    content: Content,
    page: tuple[float, float],
    input_size: tuple[int, int],
    look: Look,
) -> _Plan:
    """The best plan that hides nothing; else runs of alike blocks are a card, or the page grows.

    A card holds several blocks only where cards for each do not fit.
    """
    (width, height), maps = page, content.maps
    whole = _usual_aspect(maps, input_size)
    aspect, thumb_aspect = (min(max(whole, low), high) for low, high in _ASPECTS)
    panes = Panes(aspect, content.captions)
    if look == "isometric" and panes.count == 1:
        panes = Panes(plane_aspect(), planes=True)
    top = _top(width, len(content.notes))

    def network_of(blocks: tuple[Block, ...]) -> _Network:
        ways = find_ways(blocks, nodes)
        legend = Legend.of(content.colours, nodes, blocks, ways, width - 2 * MARGIN)
        return _Network(blocks, find_stages(blocks, nodes, maps), ways, legend)

    def plan(network: _Network, entries: Sequence[Entry], tall: float = height) -> _Plan | None:
        needs = _needs(entries, network, nodes, maps)
        room = width - 2 * MARGIN, tall - network.legend.height - top
        found = arrange_cards(needs, *room, panes, thumb_aspect, pills=bool(network.ways.long))
        return None if found is None else _Plan(network, tuple(entries), found, tall)

    whole_blocks = network_of(apart_lists(find_blocks(nodes).blocks, nodes, maps))
    blocks, stages = whole_blocks.blocks, whole_blocks.stages
    entries = single_entries(blocks)
    single = plan(whole_blocks, entries)
    if single is not None:
        return single
    joined = [
        plan(network_of(each), single_entries(each)) for each in joined_blocks(blocks, stages)
    ]
    fitting = [each for each in joined if each is not None]
    if fitting:
        return max(fitting, key=lambda each: each.arrangement.worth)
    for entries in shorter_entries(blocks, nodes, stages):
        found = plan(whole_blocks, entries)
        if found is not None:
            return found
    while (found := plan(whole_blocks, entries, height)) is None:
        height *= _TALLER
    return found


def _top(width: float, notes: int) -> float:
    """Where the first row begins, below so many lines of notes."""
    lines = notes + (width < NARROW)
    return HEADER_TOP + HEADER_HEIGHT + (MARKER_LINE + NOTE_LINE * (lines - 1) if lines else 4.0)


def _usual_aspect(maps: Mapping[str, LayerMap], input_size: tuple[int, int]) -> float:
    """Width of maps by their height: that of the middle one; the input's where all are lists."""
    shapes = [found.cam.shape for found in maps.values() if size_of(found) != VALUES]
    if not shapes:
        return input_size[1] / input_size[0]
    return float(statistics.median_low([columns / rows for rows, columns in shapes]))


def _is_strip(found: LayerMap | None) -> bool:
    """Tell whether a map is a list of values that needs little height."""
    return found is not None and size_of(found) == VALUES and 3 * len(found.cam) <= found.cam.size


def _needs(
    entries: Sequence[Entry],
    network: _Network,
    nodes: Sequence[Node],
    maps: Mapping[str, LayerMap],
) -> list[CardNeed]:
    numbers = [n for n, stage in enumerate(network.stages) for _ in range(stage.first, stage.end)]
    needs = []
    for entry in entries:
        way = network.ways.blocks[entry.first]
        side = 0 if way.side is None else len(way.side.members)
        low = _is_strip(maps.get(nodes[network.blocks[entry.first].exit].key))
        needs.append(CardNeed(len(way.row), side, numbers[entry.first], len(entry.shown), low))
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
    tile_height: float,
    put: _Put,
) -> Card:
    count = len(entry.shown)
    room = Box(x, y + found.title_height, found.tile_width, tile_height)
    exits = [blocks[number].exit for number in entry.shown]
    tiles = tuple(_main_tiles(found, exits, room, put))
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
            thumbs.append(put(place, Box(left, upper, found.thumb, found.thumb_height), line + row))
        line += -(-len(places) // per_line)
        if beside and way.side is not None:
            side = _side_thumbs(found, way.side.members, room, put)
    return Card(entry, x, y, found.card_width, room, tiles, tuple(thumbs), side)


def _main_tiles(found: Arrangement, exits: Sequence[int], room: Box, put: _Put) -> Iterator[Thumb]:
    """The maps of an exit; where each has one alone, that of each exit of a run."""
    if found.panes.count > 1:
        for pane, box in enumerate(found.panes.split(room)):
            yield put(exits[0], box, pane=pane)
        return
    count, width = len(exits), room.width
    if count > 1:
        width = min(width, (found.card_width - 4 * (count - 1)) / count)
    for number, place in enumerate(exits):
        box = Box(room.x + number * (width + 4), room.y, width, room.height)
        yield put(place, box, tile=True)


def _side_thumbs(
    found: Arrangement, members: Sequence[int], room: Box, put: _Put
) -> tuple[Thumb, ...]:
    """A branch beside the main tile, near the thumbnails that it leads to."""
    left = room.x + room.width + NUMBERS_WIDTH + 10
    top = room.y + room.height - found.line_height + LANE
    return tuple(
        put(place, Box(left + n * (found.thumb + 1), top, found.thumb, found.thumb_height))
        for n, place in enumerate(members)
    )
