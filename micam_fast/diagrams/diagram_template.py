"""The finished diagram of a sample: heading, tiles with labels, edges, clusters."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from micam_fast.core.layers import Layer
from micam_fast.core.texts import count_of
from micam_fast.diagrams.dot import EdgeSpec, NodeSpec
from micam_fast.diagrams.encoders.encoded import Encoded
from micam_fast.diagrams.heading import (
    channel_legend,
    fit_header,
    frame,
    head_height,
    head_width,
    header_texts,
    legend_marks,
)
from micam_fast.diagrams.labels import label_parts, number_line, state_line
from micam_fast.diagrams.marks import INK, Drawing, Filling, Mark, Picture, Plane, Text, move
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.parts import (
    LABEL_SIZE,
    LINE,
    NAME_SIZE,
    Slot,
    arrange,
    background_marks,
    label_mark,
    name_marks,
    picture_size,
    placed,
    template_of,
)
from micam_fast.diagrams.places import Box, DiagramLayout
from micam_fast.diagrams.planes import draw_plane, plane_outline, tile_plane
from micam_fast.diagrams.row_names import (
    name_marks as row_name_marks,
    named_layers,
    names_room,
    plane_name_marks,
)
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tile_rooms import PUBLISHED, tile_room
from micam_fast.diagrams.tiles import draw_tile, tile_place
from micam_fast.maps.layer_map import LayerMap
from micam_fast.maps.sample_maps import sized_layer

MapsByLayer = Mapping[str, LayerMap]
_LABEL_WIDTH = 220
"""Of a node that is a label alone."""


def node_specs(
    nodes: Iterable[Node],
    mapped: Iterable[str],
    tile: tuple[int, int] = PUBLISHED.size,
) -> list[NodeSpec]:
    """Sizes of the nodes: a tile with its label, or the label alone where there is no map."""
    with_map = frozenset(mapped)
    return [
        NodeSpec(each.key, *(tile if each.key in with_map else _label_size(each)), each.cluster)
        for each in nodes
    ]


def edge_specs(nodes: Iterable[Node]) -> list[EdgeSpec]:
    """Edges from producer to consumer; one that leads through hidden layers says how many."""
    return [
        EdgeSpec(link.source, node.key, count_of(link.hidden, "layer") if link.hidden else "")
        for node in nodes
        for link in node.links
    ]


class _SampleSlot(Slot, ABC):
    """A place that a sample fills from its maps or its header."""

    @abstractmethod
    def fill(self, maps: MapsByLayer, header: Sequence[str]) -> Filling:
        """What the sample brings."""


@dataclass(frozen=True)
class _HeaderSlot(_SampleSlot):
    """A line of the header; what it says is the sample's."""

    mark: Text
    line: int

    def fill(self, maps: MapsByLayer, header: Sequence[str]) -> Filling:
        return replace(self.mark, text=header[self.line])


@dataclass(frozen=True)
class _NumberSlot(_SampleSlot):
    """A label's line ``map min:`` or ``map max:``."""

    mark: Text
    layer: str
    line: int

    def fill(self, maps: MapsByLayer, header: Sequence[str]) -> Filling:
        mark, text = self.mark, number_line(maps[self.layer], self.line)
        return Text(mark.x, mark.y, text, mark.size, mark.colour)


@dataclass(frozen=True)
class _StateSlot(_SampleSlot):
    """A label's last line, which only a grey tile has."""

    mark: Text
    layer: str

    def fill(self, maps: MapsByLayer, header: Sequence[str]) -> Filling:
        mark = self.mark
        return Text(mark.x, mark.y, state_line(maps[self.layer]), mark.size, mark.colour)


@dataclass(frozen=True)
class _NameSlot(_SampleSlot):
    """A row's name, the same for all samples; it stands upon what the tile brings."""

    mark: Text

    def fill(self, maps: MapsByLayer, header: Sequence[str]) -> Filling:
        return self.mark


@dataclass(frozen=True)
class _TileSlot(_SampleSlot):
    """A layer's picture; its pixels are made when they are needed."""

    mark: Picture
    layer: str
    index: int
    input_size: tuple[int, int]
    style: Style
    native: bool
    names_room: float = 0.0

    def fill(self, maps: MapsByLayer, header: Sequence[str]) -> Filling:
        return functools.partial(self._draw, maps[self.layer])

    def _draw(self, found: LayerMap) -> Picture:
        mark, style = self.mark, self.style
        pixels = draw_tile(
            found,
            self.index,
            self.input_size,
            style.look_for(self.input_size),
            scale=style.scale,
            native=self.native,
            names_room=self.names_room,
        ).pixels
        # Not by `replace`, which takes a twentieth of the time of an SVG with many layers.
        return Picture(mark.x, mark.y, mark.width, mark.height, pixels, mark.title)


@dataclass(frozen=True)
class _PlaneSlot(_SampleSlot):
    """A layer's map on a parallelogram."""

    mark: Plane
    layer: str
    scale: float

    def fill(self, maps: MapsByLayer, header: Sequence[str]) -> Filling:
        return functools.partial(draw_plane, maps[self.layer], self.mark, self.scale)


_Part: TypeAlias = Mark | _SampleSlot


class DiagramTemplate(Encoded):
    """A diagram for samples whose maps have the same shapes: a template, and what goes into it.

    Parameters
    ----------
    nodes
        What is drawn, in the diagram's order.
    layout
        Where they go.
    maps
        Of any of the samples, by layer name; a layer without one is a label.
    header
        Title, then lines about that sample. Others have as many, and none that is wider than all.
    input_size
        ``(Hin, Win)``.
    style
        How it looks.
    native
        As in `tiles.draw_tile`.

    Attributes
    ----------
    blank
        What all samples share, with holes for the rest.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        layout: DiagramLayout,
        maps: MapsByLayer,
        header: Sequence[str],
        *,
        input_size: tuple[int, int],
        style: Style,
        native: bool = False,
    ) -> None:
        top: list[_Part] = [_HeaderSlot(text, n) for n, text in enumerate(header_texts(header))]
        squares = style.look_for(input_size) == "isometric" and not native
        top.extend(legend_marks(header, channel_legend(squares=squares)))
        body: list[_Part] = [*background_marks(layout)]
        layers = [node.layer for node in nodes]
        named = named_layers(layers, maps, input_size, style.row_names)
        for node in nodes:
            box = layout.nodes[node.key]
            names = style.row_names if node.key in named else ()
            sized = replace(node, layer=sized_layer(node.layer, maps))
            found = maps.get(node.key)
            body.extend(_node(sized, found, box, input_size, style, native, names))
        title = header[0] if header else ""
        head = head_width(header), head_height(header)
        blank, self._slots = arrange(layout, head, top, body, title=title, scale=style.scale)
        super().__init__(blank)

    def fillings(self, maps: MapsByLayer, header: Sequence[str]) -> list[Filling]:
        """What a sample brings, in the order of the template's holes."""
        return [slot.fill(maps, header) for slot in self._slots]


def diagram_size(layout: DiagramLayout, header: Sequence[str], scale: float) -> tuple[int, int]:
    """Width and height in pixels of a diagram."""
    lines = fit_header(header)
    return picture_size(layout, (head_width(lines), head_height(lines)), scale)


def compose_tile(
    layer: Layer,
    index: int,
    found: LayerMap,
    *,
    input_size: tuple[int, int],
    style: Style,
) -> Drawing:
    """A single layer's tile with its label, as a drawing of its own."""
    box = Box(0, 0, *tile_room(style.look_for(input_size), input_size).size)
    parts: list[_Part] = [
        placed(part, 0, 0, style.scale)
        for part in _node(Node(layer, index), found, box, input_size, style, False)
    ]
    width, height = (round(size * style.scale) for size in (box.width, box.height))
    template, slots = template_of(parts, width, height, layer.name)
    return template.fill(slot.fill({layer.name: found}, ()) for slot in slots)


def _node(
    node: Node,
    found: LayerMap | None,
    box: Box,
    input_size: tuple[int, int],
    style: Style,
    native: bool,
    names: Sequence[str] = (),
) -> Iterator[_Part]:
    layer, thick_rows = node.layer, False
    look = style.look_for(input_size)
    tile = tile_room(look, input_size)
    if found is not None and native and look == "isometric":
        plane = move(tile_plane(found.rgba, layer.name), box.x, box.y)
        yield _PlaneSlot(plane, layer.name, style.scale)
        yield plane_outline(plane)
        for row_name in plane_name_marks(names, plane, box):
            yield _NameSlot(row_name)
    elif found is not None:
        scale = style.scale
        room = names_room(names) if names and look == "flat" else 0.0
        place = tile_place(found, look, scale, tile, room)
        # The picture is drawn at its final size; `placed` will multiply these again.
        x, y = box.x + place.x / scale, box.y + place.y / scale
        width, height = place.width / scale, place.height / scale
        mark = Picture(x, y, width, height, found.rgba, layer.name)
        yield _TileSlot(mark, layer.name, node.index, input_size, style, native, room)
        rows, columns = found.cam.shape
        thick_rows = room > 0 and height / rows > 1.01 * width / columns
        if names:
            shown = Box(x, y, width, height) if room else Box(box.x, box.y, width, height)
            for row_name in row_name_marks(names, look, shown, input_size):
                yield _NameSlot(row_name)
        if look == "flat":
            yield frame(x - 0.5, y - 0.5, width + 1, height + 1)
    yield frame(box.x, box.y, box.width, box.height)
    x = box.x + (tile.label_x if found is not None else 10)
    y = box.y + NAME_SIZE + 5
    room = box.x + box.width - x - 6
    (name, *before), numbers, after = label_parts(
        layer, found, module=node.module, room=tile, thick_rows=thick_rows
    )
    for title in name_marks(name, x, y, room):
        yield title
        y += LINE
    for line in before:
        yield label_mark(line, x, y, room)
        y += LINE
    for number in range(numbers):
        # Six digits, a sign and an exponent always fit.
        yield _NumberSlot(Text(x, y, "", LABEL_SIZE, INK), layer.name, number)
        y += LINE
    for line in after:
        yield label_mark(line, x, y, room)
        y += LINE
    if numbers:
        yield _StateSlot(Text(x, y, "", LABEL_SIZE, INK), layer.name)


def _label_size(node: Node) -> tuple[int, int]:
    """Width and height of a node that is a label alone; its name may take two lines."""
    before, _, after = label_parts(node.layer, None, module=node.module)
    return _LABEL_WIDTH, round(LINE * (len(before) + len(after) + 1) + 12)
