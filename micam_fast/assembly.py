"""Maps of a batch to explanations: colours over all layers of a sample, what labels say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.explanation import Explanation, predict
from micam_fast.layers import Shape, fits_shape
from micam_fast.maps import MapPlan, Maps
from micam_fast.onnx_model import ModelGraph
from micam_fast.results import LayerMap
from micam_fast.scene import Scene

ReadShapes = Mapping[str, tuple[Shape | None, ...]]
"""Shapes of what each layer reads, by its name."""


def find_read_shapes(graph: ModelGraph, plans: Sequence[MapPlan]) -> ReadShapes:
    """Shapes of what the layers read, open sizes from their parents where these fit.

    They are the same for all samples of these plans.
    """
    made = {name: plan.shown_shape(name) for plan in plans for name in plan.names}
    found: dict[str, tuple[Shape | None, ...]] = {}
    for name, own in made.items():
        layer = graph.layer(name)
        parents = [made[parent] for parent in layer.inputs if parent in made]
        found[name] = tuple(
            next((p for p in parents if shape is not None and fits_shape(p, shape)), shape)
            for shape in layer.input_shapes
        )
        if not layer.inputs:
            found[name] = (own,)
    return found


def assemble(
    found: Sequence[tuple[MapPlan, Maps]],
    sample: int,
    *,
    graph: ModelGraph,
    read_shapes: ReadShapes,
    output: NDArray[Any] | None,
    input_size: tuple[int, int],
    scene: Scene,
) -> Explanation:
    """Colour the maps of one sample, and put its result together.

    Parameters
    ----------
    found
        Plan and maps of each slice of the model.
    sample
        Index in the batch.
    graph
        The model.
    read_shapes
        From `find_read_shapes`, for these plans.
    output
        The model's first output for this sample, if it has one.
    input_size
        ``(Hin, Win)``.
    scene
        The model's diagram.
    """
    ranges = np.concatenate([maps.ranges[sample] for _, maps in found])
    low = min(0.0, float(np.nanmin(ranges[:, 0], initial=0.0)))
    high = max(0.0, float(np.nanmax(ranges[:, 1], initial=0.0)))
    coloured: dict[str, LayerMap] = {}
    for plan, maps in found:
        coloured.update(_coloured(plan, maps, sample, low, high, read_shapes))
    ordered = {layer.name: coloured[layer.name] for layer in graph.layers if layer.name in coloured}
    return Explanation(
        maps=MappingProxyType(ordered),
        global_range=(low, high),
        prediction=None if output is None else predict(output, graph.last_op),
        output=output,
        input_size=input_size,
        scene=scene,
    )


def lift_ranges(ranges: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(m, M)`` of SPEC section 3: if ``m != 0``, ``M = max(M, m + 0.1 * |m|)``.

    Parameters
    ----------
    ranges
        ``(layers, 2)``: minimum and maximum of each map.
    """
    low, high = ranges[:, 0], ranges[:, 1]
    lifted = np.where(low != 0, np.maximum(high, low + 0.1 * np.abs(low)), high)
    return np.stack([low, lifted], axis=1)


def _coloured(
    plan: MapPlan, maps: Maps, sample: int, low: float, high: float, read_shapes: ReadShapes
) -> dict[str, LayerMap]:
    ranges = lift_ranges(maps.ranges[sample])
    values = maps.values[sample].copy()
    rgba = np.empty((len(values), 4), np.uint8)
    colour_maps(plan.slots, values, ranges, low, high, rgba)
    values.flags.writeable = rgba.flags.writeable = False
    found = {}
    for index, name in enumerate(plan.names):
        begin, size = plan.slots[index]
        height, width = plan.sizes[index]
        found[name] = LayerMap(
            cam=values[begin : begin + size].reshape(height, width),
            rgba=rgba[begin : begin + size].reshape(height, width, 4),
            minimum=float(maps.ranges[sample, index, 0]),
            maximum=float(maps.ranges[sample, index, 1]),
            range=(float(ranges[index, 0]), float(ranges[index, 1])),
            shape=plan.shown_shape(name),
            input_shapes=read_shapes[name],
            flat=plan.is_flat(name),
            even_weights=plan.has_even_weights(name),
            bad_values=maps.bad_values.get((sample, name)),
        )
    return found
