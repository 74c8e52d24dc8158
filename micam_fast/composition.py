"""The finished diagram as a drawing: header, legend, tiles with labels, edges, clusters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.choices import Look
from micam_fast.diagrams import Box, Cluster, DiagramLayout, Route
from micam_fast.dot import NodeSpec
from micam_fast.drawing import BLACK, GREY, INK, RULE, Drawing, Mark, Path, Picture, Text
from micam_fast.encoders.fonts import text_width
from micam_fast.labels import fit_line, label_lines, wrap_name
from micam_fast.layers import Layer
from micam_fast.results import LayerMap
from micam_fast.tiles import LABEL_X, TILE_HEIGHT, TILE_WIDTH, draw_tile

_MARGIN = 36.0
_NAME_SIZE, _LABEL_SIZE, _LINE = 15.0, 13.0, 17.5
_TITLE_SIZE, _HEADER_SIZE = 22.0, 15.0
_ARROW_HALF_WIDTH = 5.0
_LEGEND_BAR = (150, 13)
_LEGEND_LINE = 21.0
_LEGEND_GAP = 18.0
_LEGEND = (
    ("R", "positive strength: value / largest value of the layer"),
    ("G", "negative strength: value / smallest value of the layer"),
    ("B", "place in the layer's own range, from minimum to maximum"),
    ("A", "place between the smallest (transparent) and the largest value of all layers"),
)
_LEGEND_AREA = "; area of the square"
_LEGEND_BOTH = "R, G and B together: a layer from -1 over 0 to 1"


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


def compose(
    layers: Sequence[Layer],
    layout: DiagramLayout,
    maps: Mapping[str, LayerMap],
    header: Sequence[str],
    *,
    input_size: tuple[int, int],
    look: Look,
    scale: float = 1.0,
    native: bool = False,
) -> Drawing:
    """Compose the diagram.

    Parameters
    ----------
    layers
        All layers of the model, in the diagram's order.
    layout
        Where they go.
    maps
        By layer name; a layer without one is a label.
    header
        Title, then lines about the sample.
    input_size
        ``(Hin, Win)``.
    look, scale, native
        As in `tiles.draw_tile`.
    """
    top = [*_header(header), *_legend(_MARGIN + _header_height(header), look)]
    head_height = _head_height(header)
    width = max(layout.width, _top_width(header)) + 2 * _MARGIN
    left = round((width - layout.width) / 2)
    body: list[Mark] = []
    for cluster in layout.clusters:
        body.extend(_cluster(cluster))
    for route in layout.routes:
        body.extend(_route(route))
    for index, layer in enumerate(layers):
        box = layout.nodes[layer.name]
        found = maps.get(layer.name)
        body.extend(_node(layer, index, found, box, input_size, look, scale, native))
    marks = [_scaled(mark, scale) for mark in top]
    marks += [_scaled(move(mark, left, round(head_height)), scale) for mark in body]
    height = head_height + layout.height + _MARGIN
    return Drawing(
        round(width * scale), round(height * scale), tuple(marks), header[0] if header else ""
    )


def diagram_size(layout: DiagramLayout, header: Sequence[str], scale: float) -> tuple[int, int]:
    """Width and height in pixels of what `compose` makes."""
    width = max(layout.width, _top_width(header)) + 2 * _MARGIN
    height = _head_height(header) + layout.height + _MARGIN
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
    marks = _node(layer, index, found, box, input_size, look, scale, False)
    return Drawing(
        round(TILE_WIDTH * scale),
        round(TILE_HEIGHT * scale),
        tuple(_scaled(mark, scale) for mark in marks),
        layer.name,
    )


def _node(
    layer: Layer,
    index: int,
    found: LayerMap | None,
    box: Box,
    input_size: tuple[int, int],
    look: Look,
    scale: float,
    native: bool,
) -> Iterator[Mark]:
    if found is not None:
        tile = draw_tile(found, index, input_size, look, scale=scale, native=native)
        # The picture is drawn at its final size; `_scaled` will multiply these again.
        yield replace(
            tile,
            x=box.x + tile.x / scale,
            y=box.y + tile.y / scale,
            width=tile.width / scale,
            height=tile.height / scale,
            title=layer.name,
        )
        if look == "flat" and found.bad_values is None:
            yield _frame(
                Box(
                    box.x + tile.x / scale - 0.5,
                    box.y + tile.y / scale - 0.5,
                    tile.width / scale + 1,
                    tile.height / scale + 1,
                )
            )
    yield _frame(box)
    x = box.x + (LABEL_X if found is not None else 10)
    y = box.y + _NAME_SIZE + 5
    room = box.x + box.width - x - 6
    name, *rest = label_lines(layer, found)
    for line in wrap_name(name, _NAME_SIZE, room):
        yield Text(x, y, line, _NAME_SIZE, BLACK, None if line == name else name)
        y += _LINE
    for line in rest:
        shown = fit_line(line, _LABEL_SIZE, room)
        yield Text(x, y, shown, _LABEL_SIZE, INK, None if shown == line else line)
        y += _LINE


def _label_height(layer: Layer) -> float:
    """Height of a node that is a label alone; its name may take two lines."""
    return round(_LINE * (len(label_lines(layer, None)) + 1) + 12)


def _frame(box: Box) -> Path:
    right, bottom = box.x + box.width, box.y + box.height
    corners = ((box.x, box.y), (right, box.y), (right, bottom), (box.x, bottom))
    return Path(corners, RULE, 1.0, closed=True)


def _cluster(cluster: Cluster) -> Iterator[Mark]:
    box = cluster.box
    yield replace(_frame(box), colour=GREY)
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


def _header(header: Sequence[str]) -> Iterator[Mark]:
    y = _MARGIN + _TITLE_SIZE
    for index, line in enumerate(header):
        size = _HEADER_SIZE if index else _TITLE_SIZE
        yield Text(_MARGIN, y, line, size, INK if index else BLACK)
        y += 1.5 * _HEADER_SIZE if index else 1.3 * _TITLE_SIZE


def _header_height(header: Sequence[str]) -> float:
    return 1.3 * _TITLE_SIZE + 1.5 * _HEADER_SIZE * max(0, len(header) - 1) + _LEGEND_GAP


def _head_height(header: Sequence[str]) -> float:
    """Height of header and legend, with the margins around them."""
    return _header_height(header) + _LEGEND_LINE * (len(_LEGEND) + 1) + 2 * _MARGIN


def _top_width(header: Sequence[str]) -> float:
    """Width that header and legend need."""
    lines = [text_width(line, _HEADER_SIZE) for line in header[1:]]
    lines += [text_width(line, _TITLE_SIZE) for line in header[:1]]
    legend = (
        _LEGEND_BAR[0]
        + 34
        + max(text_width(text + _LEGEND_AREA, _LABEL_SIZE) for _, text in _LEGEND)
    )
    return max([*lines, legend, TILE_WIDTH])


def legend_lines() -> list[str]:
    """The legend as text."""
    return [f"{letter}: {meaning}" for letter, meaning in _LEGEND]


def _legend(y: float, look: Look) -> Iterator[Mark]:
    """What the four channels mean, each as a bar from 0 to 1, and all of them together."""
    width = _LEGEND_BAR[0]
    ramp = np.linspace(0, 255, width).round().astype(np.uint8)
    for channel, (letter, meaning) in enumerate(_LEGEND):
        bar = np.zeros((1, width, 4), np.uint8)
        bar[..., 3] = 255
        bar[0, :, channel] = ramp
        in_squares = _LEGEND_AREA if letter == "B" and look == "isometric" else ""
        yield from _legend_line(y, letter, bar, meaning + in_squares)
        y += _LEGEND_LINE
    values = np.linspace(-1, 1, width).astype(np.float32)
    both = np.empty((width, 4), np.uint8)
    whole = np.array([[0, width]], np.int64)
    colour_maps(whole, values, np.array([[-1.0, 1.0]]), -1.0, 1.0, both)
    both[:, 3] = 255
    yield from _legend_line(y, "", both[np.newaxis], _LEGEND_BOTH)


def _legend_line(y: float, letter: str, bar: NDArray[np.uint8], meaning: str) -> Iterator[Mark]:
    width, height = _LEGEND_BAR
    yield Text(_MARGIN, y + height - 2, letter, _LABEL_SIZE, BLACK)
    yield Picture(_MARGIN + 20, round(y), width, height, bar)
    yield _frame(Box(_MARGIN + 19.5, round(y) - 0.5, width + 1, height + 1))
    yield Text(_MARGIN + width + 30, y + height - 2, meaning, _LABEL_SIZE)


def move(mark: Mark, x: float, y: float) -> Mark:
    """The mark, so many pixels further right and down."""
    if isinstance(mark, Path):
        return replace(mark, points=tuple((px + x, py + y) for px, py in mark.points))
    return replace(mark, x=mark.x + x, y=mark.y + y)


def _scaled(mark: Mark, scale: float) -> Mark:
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
