"""Maps, layers and layouts made by hand, for the tests of the drawing side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from micam_fast.core.choices import Look
from micam_fast.core.layers import Layer, Shape
from micam_fast.diagrams.diagram_template import DiagramTemplate
from micam_fast.diagrams.marks import Drawing, Path
from micam_fast.diagrams.nodes import draw_nodes
from micam_fast.diagrams.places import Box, DiagramLayout
from micam_fast.diagrams.style import Style
from micam_fast.maps.layer_map import LayerMap
from tests.helpers import reference

Bytes = NDArray[np.uint8]


def layer_map(
    cam: ArrayLike,
    *,
    shape: Shape = (None, 1, 2, 2),
    input_shapes: tuple[Shape | None, ...] = (),
    flat: bool = False,
    even_weights: bool = False,
    weighted: bool = False,
    copies: int = 1,
    doubt: str | None = None,
    bad_values: int | None = None,
) -> LayerMap:
    """A map coloured as the only layer of its diagram."""
    values = np.asarray(cam, np.float32)
    colours = reference.rgba_uint8(values, *reference.global_range([values]))
    low, high = (float("nan"),) * 2 if bad_values is not None else (values.min(), values.max())
    return LayerMap(
        cam=values,
        rgba=colours,
        minimum=float(low),
        maximum=float(high),
        range=reference.published_range(values),
        shape=shape,
        input_shapes=input_shapes,
        flat=flat,
        even_weights=even_weights,
        weighted=weighted,
        copies=copies,
        doubt=doubt,
        bad_values=bad_values,
    )


def painted_map(rgba: Bytes, strongest: Iterable[tuple[int, int]] = ()) -> LayerMap:
    """A map of given colours; its values are 1 at the `strongest` cells and 0 elsewhere."""
    cam = np.zeros(rgba.shape[:2], np.float32)
    for cell in strongest:
        cam[cell] = 1.0
    return LayerMap(cam, rgba, 0.0, 1.0, (0.0, 1.0), (None, 1, *cam.shape))


def spot(rows: int, columns: int, cell: tuple[int, int], blue: int = 20) -> LayerMap:
    """A map with one visible cell, red over `blue`; its coverage shows in the green channel."""
    rgba = np.zeros((rows, columns, 4), np.uint8)
    rgba[cell] = 255, 0, blue, 255
    return painted_map(rgba, [cell])


def coverage(pixels: Bytes) -> NDArray[np.float64]:
    """How much of each pixel a `spot` covers, 0 to 1."""
    return 1 - pixels[..., 1].astype(np.float64) / 255


def centroid(cover: NDArray[np.float64]) -> tuple[float, float]:
    """Centre ``(x, y)`` of what is covered, in pixels."""
    y, x = np.mgrid[: cover.shape[0], : cover.shape[1]] + 0.5
    return float((x * cover).sum() / cover.sum()), float((y * cover).sum() / cover.sum())


def border_distance(box: Box, point: tuple[float, float]) -> float:
    """Distance of a point from the border of a box, from within or without."""
    x, y = point
    left, right = x - box.x, box.x + box.width - x
    above, below = y - box.y, box.y + box.height - y
    if min(left, right, above, below) >= 0:
        return min(left, right, above, below)
    return float(np.hypot(max(-left, -right, 0), max(-above, -below, 0)))


def contains(outer: Box, inner: Box) -> bool:
    """Whether a box lies within another."""
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes have inner points in common."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


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
    """Compose the diagram of one sample; parameters as of `DiagramTemplate`."""
    template = DiagramTemplate(
        draw_nodes(layers, maps),
        layout,
        maps,
        header,
        input_size=input_size,
        style=Style(look, scale_tiles=scale),
        native=native,
    )
    return template.blank.fill(template.fillings(maps, header))


def box_of(mark: Path) -> Box:
    xs, ys = zip(*mark.points, strict=True)
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
