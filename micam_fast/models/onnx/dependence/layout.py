"""Which inputs the operators read that only move values: reshapes, slices, pads, resizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from micam_fast.models.onnx.dependence.cells import Dependence
from micam_fast.models.onnx.dependence.links import pad_link, place_link, resize_link, slice_link
from micam_fast.models.onnx.dependence.node_reading import NodeReading, Rule, added
from micam_fast.models.onnx.operator_row import FieldRule


def _transpose(step: NodeReading) -> Dependence:
    found = step.read()
    return found.transposed(step.given.get("perm") or range(len(found.sizes))[::-1])


def _first_input(step: NodeReading) -> Dependence:
    """The other input tells a type."""
    step.unread.clear()
    return step.read()


def _tile(step: NodeReading) -> Dependence:
    found = step.read()
    for axis, (source, size) in enumerate(zip(found.sizes, step.made, strict=True)):
        if size != source:
            found = found.linked(axis, (np.arange(size) % source)[np.newaxis])
    return found


def _concat(step: NodeReading) -> Dependence:
    axis = step.axis(1, len(step.made))
    offset = 0
    parts = []
    # Quantized values stand each before its scale and zero point.
    places = (
        range(2, len(step.node.input), 3) if step.operator.units else range(len(step.node.input))
    )
    for position in places:
        part = step.read(position)
        size = part.sizes[axis]
        parts.append(part.linked(axis, place_link(step.made[axis], size, offset)))
        offset += size
    return added(*parts)


def _split(step: NodeReading) -> list[Dependence]:
    found = step.read()
    axis = step.axis(0, len(found.sizes))
    begin = 0
    parts = []
    for shape in step.made_shapes:
        end = begin + shape[axis]
        parts.append(found.linked(axis, np.arange(begin, end)[np.newaxis]))
        begin = end
    return parts


def _slice(step: NodeReading) -> Dependence:
    found = step.read()
    starts, stops = step.integers(1, "starts"), step.integers(2, "ends")
    if starts is None or stops is None:
        raise ValueError("a Slice without starts or ends")
    axes = step.integers(3, "axes") or range(len(starts))
    steps = step.integers(4, "steps") or [1] * len(starts)
    for axis, start, stop, each in zip(axes, starts, stops, steps, strict=True):
        place = axis % len(found.sizes)
        found = found.linked(place, slice_link(found.sizes[place], start, stop, each))
    return found


def _pad(step: NodeReading) -> Dependence:
    found = step.read()
    pads = step.integers(1, "pads")
    if pads is None:
        raise ValueError("a Pad without pads")
    rank = len(found.sizes)
    axes = [axis % rank for axis in step.integers(3, "axes") or range(rank)]
    mode = step.word("mode", "constant")
    for place, axis in enumerate(axes):
        before, after = pads[place], pads[place + len(axes)]
        if before or after:
            found = found.linked(axis, pad_link(found.sizes[axis], before, after, mode))
    return found


def _resize(step: NodeReading) -> Dependence:
    found, made = step.read(), step.made
    rank = len(made)
    if step.word("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ValueError("a Resize that keeps the aspect ratio")
    coordinates = step.word("coordinate_transformation_mode", "half_pixel")
    if coordinates == "tf_crop_and_resize":
        raise ValueError("a Resize of a crop")
    axes = [int(axis) % rank for axis in step.given.get("axes", range(rank))]
    for axis, scale in zip(axes, _scales(step, axes), strict=True):
        if made[axis] == found.sizes[axis] and scale == 1:
            continue
        if step.given.get("antialias", 0):
            found = found.mixed([axis]).resized({axis: made[axis]}).inexact()
            continue
        table = resize_link(
            made[axis],
            found.sizes[axis],
            scale=scale,
            mode=step.word("mode", "nearest"),
            coordinates="asymmetric" if step.is_old else coordinates,
            nearest="simple" if step.is_old else step.word("nearest_mode", "round_prefer_floor"),
            exclude_outside=bool(step.given.get("exclude_outside", 0)),
        )
        found = found.linked(axis, table)
    return found


def _scales(step: NodeReading, axes: list[int]) -> list[float]:
    """The scale of each resized axis; where sizes are given, their quotient."""
    if "scales" in step.given:
        return [float(each) for each in step.given["scales"]]
    position = 1 if step.is_old else 2
    given = step.array(position).reshape(-1) if step.has(position) else np.empty(0)
    if given.size:
        return [float(each) for each in given]
    before = step.shape(0)
    return [step.made[axis] / before[axis] for axis in axes]


def _gather(step: NodeReading) -> Dependence:
    if not step.is_activation(0):
        # Rows of a table: each depends on its index.
        axis = step.axis(0, len(step.shape(0)))
        indices = step.read(1)
        after = len(step.shape(0)) - axis - 1
        return indices.reshaped((*indices.sizes, *(1,) * after)).stretched(step.made)
    found = step.read()
    axis = step.axis(0, len(found.sizes))
    places = step.array(1).reshape(1, -1).astype(np.intp) % found.sizes[axis]
    return found.linked(axis, places).reshaped(step.made)


def _reverse(step: NodeReading) -> Dependence:
    found = step.read()
    axis = int(step.given.get("time_axis", 0))
    size = found.sizes[axis]
    if (step.array(1) != size).any():
        raise ValueError("sequences of several lengths")
    return found.linked(axis, np.arange(size)[np.newaxis, ::-1])


def _depth_to_space(step: NodeReading) -> Dependence:
    found = step.read()
    batch, channels, height, width = found.sizes
    block = int(step.given["blocksize"])
    each = channels // block**2
    if step.word("mode", "DCR") == "DCR":
        cut, order = (block, block, each), [0, 3, 4, 1, 5, 2]
    else:
        cut, order = (each, block, block), [0, 1, 4, 2, 5, 3]
    whole = found.reshaped((batch, *cut, height, width))
    return whole.transposed(order).reshaped(step.made)


def _space_to_depth(step: NodeReading) -> Dependence:
    found = step.read()
    batch, channels, height, width = found.sizes
    block = int(step.given["blocksize"])
    cut = found.reshaped((batch, channels, height // block, block, width // block, block))
    return cut.transposed([0, 3, 5, 1, 2, 4]).reshaped(step.made)


LAYOUT_RULES: Mapping[FieldRule, Rule] = {
    "concat": _concat,
    "depth to space": _depth_to_space,
    "expand": lambda step: step.read().stretched(step.made),
    "first input": _first_input,
    "gather": _gather,
    "pad": _pad,
    "reshape": lambda step: step.read().reshaped(step.made),
    "resize": _resize,
    "reverse": _reverse,
    "slice": _slice,
    "space to depth": _space_to_depth,
    "split": _split,
    "tile": _tile,
    "transpose": _transpose,
}
"""By their names in the table of operators."""
