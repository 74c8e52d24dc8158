"""Which inputs the operators read that compute: convolutions, pools, products, normalizations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from micam_fast.core.layers import Geometry
from micam_fast.models.onnx.dependence.cells import Dependence
from micam_fast.models.onnx.dependence.links import Table, group_link, spread_link, window_link
from micam_fast.models.onnx.dependence.node_reading import NodeReading, Rule, added, elementwise
from micam_fast.models.onnx.kernels import read_geometry
from micam_fast.models.onnx.operator_row import MICROSOFT, FieldRule


def _convolution(step: NodeReading) -> Dependence:
    found, made, place = _channels_second(step, step.read()), _sizes(step), step.operator.kernel
    assert place is not None
    kernel = tuple(step.given.get("kernel_shape") or step.shape(place.place)[2:])
    geometry = read_geometry(step.node, len(kernel))
    if geometry.groups == 1:
        found = found.mixed([1]).resized({1: made[1]})
    else:
        found = found.linked(1, group_link(made[1], found.sizes[1], geometry.groups))
    link = spread_link if geometry.transpose else window_link
    found = _channels_back(step, _windowed(found, made, link, kernel, geometry))
    if step.operator.name == "FusedConv" and step.is_activation(3):
        found = added(found, step.read(3))
    return found


def _sizes(step: NodeReading) -> tuple[int, ...]:
    """Sizes of what is made, those of the channels second."""
    first, *space = step.made
    last = step.operator.channels == "last"
    return (first, space[-1], *space[:-1]) if last else step.made


def _channels_second(step: NodeReading, found: Dependence) -> Dependence:
    """What is read, with its channels second."""
    rank = len(found.sizes)
    last = step.operator.channels == "last"
    return found.transposed([0, rank - 1, *range(1, rank - 1)]) if last else found


def _channels_back(step: NodeReading, found: Dependence) -> Dependence:
    """What is made, with its channels where they belong."""
    last = step.operator.channels == "last"
    return found.transposed([0, *range(2, len(found.sizes)), 1]) if last else found


def _windowed(
    found: Dependence,
    made: tuple[int, ...],
    link: Callable[..., Table],
    kernel: tuple[int, ...],
    geometry: Geometry,
) -> Dependence:
    """Each spatial axis, from the third on, as a kernel walks it."""
    begins = geometry.begin_pads(kernel, made[2:], found.sizes[2:])
    walks = zip(kernel, geometry.strides, geometry.dilations, begins, strict=True)
    for axis, walk in enumerate(walks, 2):
        found = found.linked(axis, link(made[axis], found.sizes[axis], *walk))
    return found


def _pool(step: NodeReading) -> list[Dependence]:
    found, made = _channels_second(step, step.read()), _sizes(step)
    kernel = tuple(step.given["kernel_shape"])
    geometry = read_geometry(step.node, len(kernel))
    steps_over = any(stride > k for stride, k in zip(geometry.strides, kernel, strict=True))
    if step.operator.name == "LpPool" and geometry.auto_pad.startswith("SAME") and steps_over:
        raise ValueError("ONNX Runtime begins elsewhere than ONNX says")
    found = _channels_back(step, _windowed(found, made, window_link, kernel, geometry))
    # With the indices of the largest values.
    return [found] * len(step.node.output)


def _global_pool(step: NodeReading) -> Dependence:
    found = _channels_second(step, step.read())
    axes = range(2, len(found.sizes))
    return _channels_back(step, found.mixed(axes).resized(dict.fromkeys(axes, 1)))


def _reduction(step: NodeReading) -> Dependence:
    found = step.read()
    rank = len(found.sizes)
    given = step.integers(1, "axes")
    if not given and step.given.get("noop_with_empty_axes", 0):
        return found
    axes = [axis % rank for axis in given or range(rank)]
    return found.mixed(axes).resized(dict.fromkeys(axes, 1)).reshaped(step.made)


def _place_of_largest(step: NodeReading) -> Dependence:
    found = step.read()
    axis = step.axis(0, len(found.sizes))
    return found.mixed([axis]).resized({axis: 1}).reshaped(step.made)


def _largest(step: NodeReading) -> list[Dependence]:
    found = step.read()
    axis = step.axis(-1, len(found.sizes))
    return [found.mixed([axis]).resized({axis: step.made[axis]})] * len(step.node.output)


def _running_sum(step: NodeReading) -> Dependence:
    found = step.read()
    (axis,) = (int(each) % len(found.sizes) for each in step.array(1).reshape(-1))
    if step.given.get("exclusive", 0):
        return found.mixed([axis]).inexact()
    return found.accumulated(axis, backwards=bool(step.given.get("reverse", 0)))


def _along_axis(step: NodeReading) -> Dependence:
    """Each element reads all along an axis; in older versions, along all from that axis on."""
    found = step.read()
    rank = len(found.sizes)
    if step.is_old:
        return found.mixed(range(step.axis(1, rank), rank))
    return found.mixed([step.axis(-1, rank)])


def _batch_norm(step: NodeReading) -> Dependence:
    found = step.read()
    if step.given.get("training_mode", 0):
        return found.mixed(axis for axis in range(len(found.sizes)) if axis != 1)
    return found


def _instance_norm(step: NodeReading) -> Dependence:
    found = step.read()
    return found.mixed(range(2, len(found.sizes)))


def _group_norm(step: NodeReading) -> Dependence:
    found = _instance_norm(step)
    channels = found.sizes[1]
    return found.linked(1, group_link(channels, channels, int(step.given["num_groups"])))


def _layer_norm(step: NodeReading) -> list[Dependence]:
    # ONNX Runtime's own ones add a second value before.
    places = (0, 1) if step.operator.domain == MICROSOFT else (0,)
    read = [step.read(place) for place in places]
    found = added(*(each.stretched(read[0].sizes) for each in read))
    rank = len(found.sizes)
    axes = range(step.axis(-1, rank), rank)
    normed, sums = found.mixed(axes), found.mixed(axes).resized(dict.fromkeys(axes, 1))
    return [normed, sums, sums, found][: len(step.node.output)]


def _mean_variance(step: NodeReading) -> Dependence:
    found = step.read()
    return found.mixed(int(axis) % len(found.sizes) for axis in step.given.get("axes", (0, 2, 3)))


def _response_norm(step: NodeReading) -> Dependence:
    found = step.read()
    channels, size = found.sizes[1], int(step.given["size"])
    table = window_link(channels, channels, size, 1, 1, (size - 1) // 2)
    return found.linked(1, table)


def _dynamic_quantization(step: NodeReading) -> list[Dependence]:
    """Scale and zero point are bookkeeping, as they are for layers."""
    scales = [Dependence(shape, ()) for shape in step.made_shapes[1:]]
    return [step.read(), *scales]


def _gemm(step: NodeReading) -> Dependence:
    found = Dependence(step.made, ())
    turns = ("transA", 1), ("transB", 0)
    for position, (turned, summed) in zip(step.operator.factors, turns, strict=True):
        if step.is_activation(position):
            factor = step.read(position)
            if step.given.get(turned, 0):
                factor = factor.transposed([1, 0])
            found = added(found, factor.mixed([summed]).resized({summed: step.made[summed]}))
    kernel = step.operator.kernel
    bias = None if kernel is None else kernel.bias
    if bias is not None and step.is_activation(bias):
        found = added(found, step.read(bias).stretched(step.made))
    return found


def _product(step: NodeReading) -> Dependence:
    first, second = step.operator.factors
    found = Dependence(step.made, ())
    for position, back, turned in ((first, 1, "A"), (second, 2, "B")):
        if step.given.get(f"transBatch{turned}", 0):
            raise ValueError("a product along the batch")
        if step.is_activation(position):
            factor = step.read(position)
            if step.given.get(f"trans{turned}", 0):
                *stack, rows, columns = range(len(factor.sizes))
                factor = factor.transposed([*stack, columns, rows])
            if min(len(factor.sizes), len(step.shape(second)), len(step.shape(first))) < 2:
                raise ValueError("a product with a vector")
            axis = len(factor.sizes) - back
            factor = factor.mixed([axis]).resized({axis: step.made[-back]})
            found = added(found, factor.stretched(step.made))
    return found


def _einsum(step: NodeReading) -> Dependence:
    before, arrow, after = step.word("equation", "").replace(" ", "").partition("->")
    if not arrow or "." in before:
        raise ValueError("an equation without an output, or with any number of axes")
    found = Dependence(step.made, ())
    for position, letters in enumerate(before.split(",")):
        if not step.is_activation(position):
            continue
        factor = step.read(position)
        if len(set(letters)) < len(letters):
            raise ValueError("a diagonal")
        summed = [axis for axis, letter in enumerate(letters) if letter not in after]
        factor = factor.mixed(summed).resized(dict.fromkeys(summed, 1))
        kept = [letters.index(letter) for letter in after if letter in letters]
        sizes = dict(zip(letters, factor.sizes, strict=True))
        shape = [sizes.get(letter, 1) for letter in after]
        found = added(found, factor.transposed(summed + kept).reshaped(shape).stretched(step.made))
    return found


def _recurrent(step: NodeReading) -> list[Dependence]:
    """``Y``, then the last states; each direction sees what it has passed."""
    found = step.read().mixed([2])
    # Y has the axes (T, D, B, H), or (B, T, D, H).
    time, ways = (1, 2) if step.given.get("layout", 0) else (0, 1)
    direction = step.word("direction", "forward")
    backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    shape = [*found.sizes[:2], 1]
    shape.insert(ways, 1)
    hidden = int(step.given["hidden_size"])
    wide = found.resized({2: 1}).reshaped(shape).resized({ways: len(backwards), 3: hidden})
    parts = [
        wide.accumulated(time, backwards=each).masked(ways, np.arange(len(backwards)) == place)
        for place, each in enumerate(backwards)
    ]
    state = [size for axis, size in enumerate(wide.sizes) if axis != time]
    last = wide.mixed([time]).resized({time: 1}).reshaped(state)
    return [added(*parts), last, last][: len(step.node.output)]


RULES: Mapping[FieldRule, Rule] = {
    "along axis": _along_axis,
    "batch norm": _batch_norm,
    "convolution": _convolution,
    "dynamic quantization": _dynamic_quantization,
    "einsum": _einsum,
    "elementwise": elementwise,
    "gemm": _gemm,
    "global pool": _global_pool,
    "group norm": _group_norm,
    "instance norm": _instance_norm,
    "largest": _largest,
    "layer norm": _layer_norm,
    "mean variance": _mean_variance,
    "place of largest": _place_of_largest,
    "pool": _pool,
    "product": _product,
    "recurrent": _recurrent,
    "reduction": _reduction,
    "response norm": _response_norm,
    "running sum": _running_sum,
}
"""By their names in the table of operators."""
