"""The finished diagram: heading, tiles with labels, edges, clusters."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np

from micam_fast.choices import Look
from micam_fast.diagrams import Box, Cluster, DiagramLayout, Route
from micam_fast.dot import NodeSpec
from micam_fast.drawing import (
    BLACK,
    GREY,
    INK,
    Drawing,
    Filling,
    Hole,
    Mark,
    Path,
    Picture,
    Template,
    Text,
)
from micam_fast.encoders import PngPage, SvgPage
from micam_fast.heading import (
    MARGIN,
    frame,
    head_height,
    head_width,
    header_texts,
    legend,
)
from micam_fast.labels import fit_line, label_parts, number_line, wrap_name
from micam_fast.layers import Layer
from micam_fast.results import LayerMap
from micam_fast.tiles import LABEL_X, TILE_HEIGHT, TILE_WIDTH, draw_tile, tile_place

_NAME_SIZE, _LABEL_SIZE, _LINE = 15.0, 13.0, 17.5
_ARROW_HALF_WIDTH = 5.0

Maps = Mapping[str, LayerMap]


def node_specs(layers: Iterable[Layer], mapped: Iterable[str]) -> list[NodeSpec]:
    """Sizes of the nodes: a tile with its label, or the label alone where there is no map."""
    with_map = frozenset(mapped)
    return [
        NodeSpec(
            layer.name,
            TILE_WIDTH if layer.name in with_map else TILE_WIDTH - LABEL_X + 20,
            TILE_HEIGHT if layer.name in with_map else _label_height(layer),
            layer.cluster,
        )
        for layer in layers
    ]


def edges(layers: Iterable[Layer]) -> list[tuple[str, str]]:
    """Pairs of layer names, from producer to consumer."""
    return [(parent, layer.name) for layer in layers for parent in layer.inputs]


@dataclass(frozen=True)
class _HeaderSlot:
    """A line of the header; what it says is the sample's."""

    mark: Text
    line: int

    def fill(self, maps: Maps, header: Sequence[str]) -> Filling:
        return replace(self.mark, text=header[self.line])


@dataclass(frozen=True)
class _NumberSlot:
    """A label's line ``min:`` or ``max:``."""

    mark: Text
    layer: str
    line: int

    def fill(self, maps: Maps, header: Sequence[str]) -> Filling:
        mark = self.mark
        text = number_line(maps[self.layer], self.line)
        return Text(mark.x, mark.y, text, mark.size, mark.colour)


@dataclass(frozen=True)
class _TileSlot:
    """A layer's picture; its pixels are made when they are needed."""

    mark: Picture
    layer: str
    index: int
    input_size: tuple[int, int]
    look: Look
    scale: float
    native: bool

    def fill(self, maps: Maps, header: Sequence[str]) -> Filling:
        return functools.partial(self._draw, maps[self.layer])

    def _draw(self, found: LayerMap) -> Picture:
        mark = self.mark
        pixels = draw_tile(
            found,
            self.index,
            self.input_size,
            self.look,
            scale=self.scale,
            native=self.native,
        ).pixels
        return Picture(mark.x, mark.y, mark.width, mark.height, pixels, mark.title)


_Slot: TypeAlias = _HeaderSlot | _NumberSlot | _TileSlot
_Part: TypeAlias = Mark | _Slot


class Sheet:
    """A diagram for samples whose maps have the same shapes: a template, and what goes into it.

    Parameters
    ----------
    layers
        All layers of the model, in the diagram's order.
    layout
        Where they go.
    maps
        Of any of the samples, by layer name; a layer without one is a label.
    header
        Title, then lines about that sample. Others have as many, and none that is wider than all.
    input_size
        ``(Hin, Win)``.
    look, scale, native
        As in `tiles.draw_tile`.

    Attributes
    ----------
    template
        What all samples share.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        layout: DiagramLayout,
        maps: Maps,
        header: Sequence[str],
        *,
        input_size: tuple[int, int],
        look: Look,
        scale: float = 1.0,
        native: bool = False,
    ) -> None:
        top: list[_Part] = [_HeaderSlot(text, n) for n, text in enumerate(header_texts(header))]
        top.extend(legend(header, look))
        body: list[_Part] = []
        for cluster in layout.clusters:
            body.extend(_cluster(cluster))
        for route in layout.routes:
            body.extend(_route(route))
        for index, layer in enumerate(layers):
            box = layout.nodes[layer.name]
            found = maps.get(layer.name)
            body.extend(_node(layer, index, found, box, input_size, look, scale, native))
        width, height = diagram_size(layout, header, scale)
        left = round((max(layout.width, head_width(header)) + 2 * MARGIN - layout.width) / 2)
        down = round(head_height(header))
        parts = [_placed(part, 0, 0, scale) for part in top]
        parts += [_placed(part, left, down, scale) for part in body]
        title = header[0] if header else ""
        self.template, self._slots = _template(parts, width, height, title)
        self._png: PngPage | None = None
        self._lock = threading.Lock()

    @functools.cached_property
    def svg(self) -> SvgPage:
        """The template as pieces of SVG."""
        return SvgPage(self.template)

    @property
    def png(self) -> PngPage:
        """The template as pixels; drawing them takes long, so one thread does it for all."""
        with self._lock:
            if self._png is None:
                self._png = PngPage(self.template)
            return self._png

    def fillings(self, maps: Maps, header: Sequence[str]) -> list[Filling]:
        """What a sample brings, in the order of the template's holes."""
        return [slot.fill(maps, header) for slot in self._slots]


def diagram_size(layout: DiagramLayout, header: Sequence[str], scale: float) -> tuple[int, int]:
    """Width and height in pixels of a diagram."""
    width = max(layout.width, head_width(header)) + 2 * MARGIN
    height = head_height(header) + layout.height + MARGIN
    return round(width * scale), round(height * scale)


def compose_tile(
    layer: Layer,
    index: int,
    found: LayerMap,
    *,
    input_size: tuple[int, int],
    look: Look,
    scale: float = 1.0,
) -> Drawing:
    """A single layer's tile with its label, as a drawing of its own."""
    box = Box(0, 0, TILE_WIDTH, TILE_HEIGHT)
    parts = [
        _placed(part, 0, 0, scale)
        for part in _node(layer, index, found, box, input_size, look, scale, False)
    ]
    width, height = round(TILE_WIDTH * scale), round(TILE_HEIGHT * scale)
    template, slots = _template(parts, width, height, layer.name)
    return template.fill(slot.fill({layer.name: found}, ()) for slot in slots)


def _template(
    parts: Sequence[_Part], width: float, height: float, title: str
) -> tuple[Template, list[_Slot]]:
    """The marks with holes where the slots are, and the slots in the order of the holes."""
    marks = [_hole(part.mark, width) if isinstance(part, _Slot) else part for part in parts]
    slots = [part for part in parts if isinstance(part, _Slot)]
    return Template(width, height, tuple(marks), title), slots


def _node(
    layer: Layer,
    index: int,
    found: LayerMap | None,
    box: Box,
    input_size: tuple[int, int],
    look: Look,
    scale: float,
    native: bool,
) -> Iterator[_Part]:
    if found is not None:
        place = tile_place(found, look, scale)
        # The picture is drawn at its final size; `_scaled` will multiply these again.
        x, y = box.x + place.x / scale, box.y + place.y / scale
        width, height = place.width / scale, place.height / scale
        mark = Picture(x, y, width, height, found.rgba, layer.name)
        yield _TileSlot(mark, layer.name, index, input_size, look, scale, native)
        if look == "flat" and found.bad_values is None:
            yield frame(x - 0.5, y - 0.5, width + 1, height + 1)
    yield frame(box.x, box.y, box.width, box.height)
    x = box.x + (LABEL_X if found is not None else 10)
    y = box.y + _NAME_SIZE + 5
    room = box.x + box.width - x - 6
    (name, *before), numbers, after = label_parts(layer, found)
    for line in wrap_name(name, _NAME_SIZE, room):
        yield Text(x, y, line, _NAME_SIZE, BLACK, None if line == name else name)
        y += _LINE
    for line in before:
        yield _label_text(x, y, line, room)
        y += _LINE
    for number in range(numbers):
        # Six digits, a sign and an exponent always fit.
        yield _NumberSlot(Text(x, y, "", _LABEL_SIZE, INK), layer.name, number)
        y += _LINE
    for line in after:
        yield _label_text(x, y, line, room)
        y += _LINE


def _label_text(x: float, y: float, line: str, room: float) -> Text:
    shown = fit_line(line, _LABEL_SIZE, room)
    return Text(x, y, shown, _LABEL_SIZE, INK, None if shown == line else line)


def _label_height(layer: Layer) -> float:
    """Height of a node that is a label alone; its name may take two lines."""
    before, _, after = label_parts(layer, None)
    return round(_LINE * (len(before) + len(after) + 1) + 12)


def _cluster(cluster: Cluster) -> Iterator[Mark]:
    box = cluster.box
    yield replace(frame(box.x, box.y, box.width, box.height), colour=GREY)
    shown = fit_line(cluster.name, _NAME_SIZE, box.width - 16)
    full = None if shown == cluster.name else cluster.name
    yield Text(box.x + 8, box.y + _NAME_SIZE + 4, shown, _NAME_SIZE, GREY, full)


def _route(route: Route) -> Iterator[Mark]:
    yield Path(route.points, GREY, 1.5, curved=True)
    end = np.array(route.points[-1])
    tip = np.array(route.tip)
    along = tip - end
    length = float(np.hypot(*along))
    if length > 0:
        side = np.array([-along[1], along[0]]) / length * _ARROW_HALF_WIDTH
        corners = (tip, end + side, end - side)
        points = tuple((float(x), float(y)) for x, y in corners)
        yield Path(points, GREY, 1.0, filled=True, closed=True)


def _hole(mark: Text | Picture, width: float) -> Hole:
    """The rectangle that a mark stays within; lines of text may reach the right edge."""
    if isinstance(mark, Picture):
        return Hole(mark.x, mark.y, mark.width, mark.height)
    return Hole(mark.x - mark.size, mark.y - 1.5 * mark.size, width - mark.x, 2.5 * mark.size)


def _placed(part: _Part, x: float, y: float, scale: float) -> _Part:
    """Moved by so many pixels to the right and down, then enlarged."""
    if isinstance(part, _TileSlot):
        return replace(part, mark=_scaled(move(part.mark, x, y), scale))
    if isinstance(part, (_HeaderSlot, _NumberSlot)):
        return replace(part, mark=_scaled(move(part.mark, x, y), scale))
    return _scaled(move(part, x, y), scale)


_M = TypeVar("_M", bound=Mark)


def move(mark: _M, x: float, y: float) -> _M:
    """The mark, so many pixels further right and down."""
    if isinstance(mark, Path):
        return replace(mark, points=tuple((px + x, py + y) for px, py in mark.points))
    return replace(mark, x=mark.x + x, y=mark.y + y)


def _scaled(mark: _M, scale: float) -> _M:
    if scale == 1.0:
        return mark
    if isinstance(mark, Path):
        points = tuple((x * scale, y * scale) for x, y in mark.points)
        return replace(mark, points=points, width=mark.width * scale)
    if isinstance(mark, Text):
        return replace(mark, x=mark.x * scale, y=mark.y * scale, size=mark.size * scale)
    return replace(
        mark,
        x=mark.x * scale,
        y=mark.y * scale,
        width=mark.width * scale,
        height=mark.height * scale,
    )
