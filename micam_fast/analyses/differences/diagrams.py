"""The diagram of a difference: A, B and B - A of each layer in one node, on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from micam_fast.analyses.differences.comparison import Comparison
from micam_fast.analyses.differences.labels import header_lines, label_lines
from micam_fast.analyses.differences.layers import CAPTIONS, LayerDifference
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.heading import (
    LEGEND_BAR,
    LegendLine,
    frame,
    head_height,
    head_width,
    header_texts,
    legend_marks,
    legend_width,
)
from micam_fast.diagrams.labels import label_parts
from micam_fast.diagrams.marks import BLACK, Filling, Mark, Picture, Point, Template, Text
from micam_fast.diagrams.parts import (
    LINE,
    NAME_SIZE,
    Slot,
    arrange,
    background_marks,
    label_mark,
    name_marks,
)
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.tiles import flat_place, hatch, shrunk_cells
from micam_fast.maps.sample_maps import sized_layer
from micam_fast.maps.signed_palette import paint_diverging

_WIDE = 2
"""Width by height of an input whose maps are drawn one below the other."""
_PANE = (224, 224)
"""Width and height that a map may take beside two others."""
_STACKED_PANE, _LEAST_STACKED = (672, 192), 112
"""The same above or below two others, and its least height: flat layers need some, labels too."""
_EDGE, _GAP, _CAPTION_ROW = 14, 12, 26
_CAPTION_COLUMN, _LABEL_WIDTH = 46, 240
_NOTHING = np.empty((1, 1, 3), np.uint8)
_LEGEND = (
    "A, B and B - A of a layer share the label's scale: blue is negative, white 0, brown positive",
    "no map: not finite, or A and B differ in type, size or use of a kernel, or one has no layer",
    "relative L2: |B - A| / |A|.  cosine: of the angle between A and B.  correlation: Pearson's",
)


@dataclass(frozen=True)
class NodePlan:
    """Where a node has its maps and its label, in pixels from its upper left corner.

    Attributes
    ----------
    size
        Width and height of the node.
    pane
        Width and height that a map may take.
    panes
        Upper left corners of the room for A, B and B - A.
    captions
        Where the baselines of their captions start.
    label_x
        Where the label starts.
    tall_strips
        Whether maps of one row are as high as their room.
    """

    size: tuple[int, int]
    pane: tuple[int, int]
    panes: tuple[Point, ...]
    captions: tuple[Point, ...]
    label_x: int
    tall_strips: bool = False


def plan_node(input_size: tuple[int, int]) -> NodePlan:
    """Three maps side by side; one below the other if ``(Hin, Win)`` is much wider than high.

    All nodes of a diagram are alike.
    """
    height, width = input_size
    return _plan_stack(input_size) if width >= _WIDE * height else _plan_row()


def _plan_row() -> NodePlan:
    step, top = _PANE[0] + _GAP, _EDGE + _CAPTION_ROW
    panes = tuple((float(_EDGE + place * step), float(top)) for place in range(3))
    captions = tuple(
        (x + (_PANE[0] - text_width(caption, NAME_SIZE)) / 2, NAME_SIZE + 9)
        for (x, _), caption in zip(panes, CAPTIONS, strict=True)
    )
    label_x = _EDGE + 3 * step + 4
    return NodePlan(
        (label_x + _LABEL_WIDTH, top + _PANE[1] + _EDGE), _PANE, panes, captions, label_x
    )


def _plan_stack(input_size: tuple[int, int]) -> NodePlan:
    # As large as the input's own map: those of pools, half as wide, fill the same room.
    own = flat_place(input_size, _STACKED_PANE, _STACKED_PANE, 1.0)
    width, height = int(own.width), max(int(own.height), _LEAST_STACKED)
    left, step = _EDGE + _CAPTION_COLUMN, height + _GAP
    panes = tuple((float(left), float(_EDGE + place * step)) for place in range(3))
    captions = tuple((float(_EDGE), y + height / 2 + 0.35 * NAME_SIZE) for _, y in panes)
    label_x = left + width + _GAP + 4
    size = label_x + _LABEL_WIDTH, 2 * _EDGE + 3 * step - _GAP
    return NodePlan(size, (width, height), panes, captions, label_x, input_size[0] == 1)


@dataclass(frozen=True)
class _PaneSlot(Slot):
    """One of a node's maps; its pixels are made when they are needed."""

    mark: Picture
    values: NDArray[np.floating] | None
    bound: float
    most: tuple[int, int]
    scale: float
    native: bool

    def draw(self) -> Picture:
        """The picture."""
        return replace(self.mark, pixels=self._paint())

    def _paint(self) -> NDArray[np.uint8]:
        if self.values is None:
            return hatch(round(self.mark.width), round(self.mark.height), self.scale)
        values = self.values
        if not self.native:
            with np.errstate(over="ignore"):
                cells = shrunk_cells(values.astype(np.float32), self.most, self.scale)
            values = values if cells is None else values.reshape(-1)[cells]
        return paint_diverging(values, self.bound)


_Part = Mark | _PaneSlot


def compose_difference(
    difference: Comparison, rankdir: str, scale: float, *, native: bool
) -> tuple[Template, list[Filling]]:
    """The diagram: what is known at once, and the maps, each painted when it is needed.

    With `native`, each cell of a map keeps a pixel of its own, for formats that enlarge by
    themselves.
    """
    scene = difference.a.scene
    mapped = frozenset(layer.name for layer in scene.layers if layer.name in difference.layers)
    plan = plan_node(difference.a.input_size)
    layout = scene.picture_layout(mapped, rankdir, plan.size)
    header = header_lines(difference)
    top: list[_Part] = [*header_texts(header), *legend_marks(header, _legend_lines())]
    body: list[_Part] = [*background_marks(layout)]
    for layer in scene.layers:
        box = layout.nodes[layer.name]
        each = difference.layers.get(layer.name)
        if each is None:
            body.extend(
                _label(label_parts(sized_layer(layer, difference.a.maps), None)[0], box, 10)
            )
        else:
            body.extend(_panes(each, plan, box, scale, native))
            body.extend(_label(label_lines(difference, each), box, plan.label_x))
    head = head_width(header, legend_width(_LEGEND)), head_height(header, len(_LEGEND))
    template, slots = arrange(layout, head, top, body, title=header[0], scale=scale)
    return template, [slot.draw for slot in slots]


def _legend_lines() -> Iterator[LegendLine]:
    width, height = LEGEND_BAR
    ramp = paint_diverging(np.linspace(-1, 1, width)[np.newaxis], 1.0)
    bars = (ramp, hatch(width, height, 1.0), None)
    for meaning, bar in zip(_LEGEND, bars, strict=True):
        yield LegendLine(meaning, bar)


def _panes(
    each: LayerDifference, plan: NodePlan, box: Box, scale: float, native: bool
) -> Iterator[_Part]:
    """The three maps with their captions and frames."""
    for caption, values, start, corner in zip(
        CAPTIONS, each.drawn, plan.captions, plan.panes, strict=True
    ):
        yield Text(box.x + start[0], box.y + start[1], caption, NAME_SIZE, BLACK)
        inner = room = Box(0, 0, plan.pane[0] * scale, plan.pane[1] * scale)
        if values is not None:
            inner = flat_place((values.shape[0], values.shape[1]), plan.pane, plan.pane, scale)
            if plan.tall_strips and len(values) == 1:
                inner = replace(inner, y=room.y, height=room.height)
        # At its final size: it will be enlarged with the others.
        x, y = box.x + corner[0] + inner.x / scale, box.y + corner[1] + inner.y / scale
        width, height = inner.width / scale, inner.height / scale
        mark = Picture(x, y, width, height, _NOTHING, f"{each.layer.name}: {caption}")
        yield _PaneSlot(mark, values, each.bound, plan.pane, scale, native)
        yield frame(x - 0.5, y - 0.5, width + 1, height + 1)


def _label(lines: Sequence[str], box: Box, left: float) -> Iterator[Mark]:
    """A node's frame, and its lines, the layer's name first."""
    yield frame(box.x, box.y, box.width, box.height)
    x, y = box.x + left, box.y + NAME_SIZE + 5
    room = box.x + box.width - x - 6
    name, *rest = lines
    for text in name_marks(name, x, y, room):
        yield text
        y += LINE
    for line in rest:
        yield label_mark(line, x, y, room)
        y += LINE
