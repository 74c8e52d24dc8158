"""Operators on pictures, sequences and volumes with channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.helpers.random_graphs.builder import Builder, Convolution, Value, divisors
from tests.helpers.random_graphs.constants import constant, kernel
from tests.helpers.random_graphs.operations import Written

_MOST_CHANNELS = 12
_LONGEST = 14


def convolve(b: Builder, v: Value) -> Value:
    """A convolution of any stride, dilation, padding and number of groups."""
    rank = len(v.space)
    groups = b.pick.choice([1, 1, v.channels, b.pick.choice(divisors(v.channels))])
    out = _count(b, v, groups)
    row = rank == 2 and v.space[0] == 1
    size = [1 if row and axis == 0 else b.pick.randint(1, 3) for axis in range(rank)]
    strides = [b.pick.choice([1, 1, 2]) for _ in size]
    dilations = [b.pick.choice([1, 1, 1, 2]) for _ in size]
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    auto = b.pick.choice(["", "", "", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if auto.startswith("SAME"):
        dilations, reach = [1] * rank, size
    begins, ends = _pads(b, v.space, reach, strides, auto)
    padded = [n + i + j - r for n, i, j, r in zip(v.space, begins, ends, reach, strict=True)]
    if min(padded) < 0:
        return v
    space = [n // stride + 1 for n, stride in zip(padded, strides, strict=True)]
    given: dict[str, Any] = {"auto_pad": auto} if auto else {"pads": begins + ends}
    if b.chance(0.8):
        given["kernel_shape"] = size
    fan = v.channels // groups * int(np.prod(size))
    weight = kernel(b, (out, v.channels // groups, *size), fan)
    bias = _bias(b, out)
    b.note("Conv", v.channels, "to", out, "groups", groups, "kernel", size, "by", strides, given)
    made = b.layer(
        "Conv", [v.name, weight, *([bias] if bias else [])], (v.shape[0], out, *space), 1,
        strides=strides, dilations=dilations, group=groups, **given,
    )  # fmt: skip
    return b.convolution(
        made,
        Convolution(
            weight, bias, v, tuple(strides), tuple(begins), tuple(dilations), groups, False
        ),
    )


def _count(b: Builder, v: Value, groups: int) -> int:
    """Output channels; as many as the sides are long where the graph is to be square."""
    if b.traits.square and b.traits.square % groups == 0 and b.chance(0.8):
        return b.traits.square
    return groups * b.pick.randint(1, max(1, _MOST_CHANNELS // groups // 2))


def _pads(
    b: Builder, space: Sequence[int], reach: Sequence[int], strides: Sequence[int], auto: str
) -> tuple[list[int], list[int]]:
    if auto == "VALID":
        return [0] * len(space), [0] * len(space)
    if auto:
        totals = [
            max((-(-n // s) - 1) * s + r - n, 0)
            for n, r, s in zip(space, reach, strides, strict=True)
        ]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        return (small, large) if auto == "SAME_UPPER" else (large, small)
    if b.chance(0.5):
        # What keeps the size.
        return [(r - 1) // 2 for r in reach], [r // 2 for r in reach]
    return [b.pick.randrange(r) for r in reach], [b.pick.randrange(r) for r in reach]


def _bias(b: Builder, channels: int) -> str | None:
    draw = b.pick.random()
    if draw < 0.4:
        return None
    if draw < 0.5:
        return b.hold(np.zeros(channels, np.float32), "bias")
    return constant(b, (channels,), "bias", 0.5)


def convolve_back(b: Builder, v: Value) -> Value:
    """A transposed convolution."""
    groups = b.pick.choice([1, 1, b.pick.choice(divisors(v.channels))])
    out = _count(b, v, groups)
    size = [b.pick.randint(1, 3) for _ in v.space]
    strides = [b.pick.randint(1, 2) for _ in size]
    dilations = [b.pick.choice([1, 1, 2]) for _ in size]
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    begins, ends = [[b.pick.randrange((r + 1) // 2) for r in reach] for _ in range(2)]
    extra = [b.pick.randrange(s) for s in strides]
    parts = zip(v.space, strides, reach, begins, ends, extra, strict=True)
    space = [(n - 1) * s + r - i - j + e for n, s, r, i, j, e in parts]
    if max(space) > _LONGEST or min(space) < 1:
        return v
    weight = kernel(b, (v.channels, out // groups, *size), v.channels // groups)
    bias = _bias(b, out)
    given: dict[str, Any] = {"output_padding": extra} if any(extra) else {}
    b.note("ConvTranspose", v.channels, "to", out, "groups", groups, "kernel", size, "by", strides)
    made = b.layer(
        "ConvTranspose", [v.name, weight, *([bias] if bias else [])], (v.shape[0], out, *space), 1,
        strides=strides, dilations=dilations, group=groups, pads=begins + ends,
        kernel_shape=size, **given,
    )  # fmt: skip
    return b.convolution(
        made,
        Convolution(weight, bias, v, tuple(strides), tuple(begins), tuple(dilations), groups, True),
    )


def convolve_a_row(b: Builder, v: Value) -> Value:
    """A 1-D convolution written as a 2-D one between Unsqueeze and Squeeze."""
    n, channels, length = v.shape
    row = unsqueezed(b, v, 2)
    size = b.pick.randint(1, min(3, length))
    begins = [0, b.pick.randrange(size)]
    ends = [0, b.pick.randrange(size)]
    out = _count(b, v, 1)
    weight = kernel(b, (out, channels, 1, size), channels * size)
    made = b.layer(
        "Conv", [row.name, weight], (n, out, 1, length + begins[1] + ends[1] - size + 1), 1,
        pads=begins + ends,
    )  # fmt: skip
    b.note("Conv", channels, "to", out, "as a row of", size)
    found = Convolution(weight, None, row, (1, 1), (0, begins[1]), (1, 1), 1, False)
    made = b.convolution(made, found)
    if b.opset < 13:
        back = b.move("Squeeze", made, (n, out, made.shape[3]), 1, axes=[2])
    else:
        back = b.move("Squeeze", made, (n, out, made.shape[3]), 1, b.integers([2]))
    if b.chance(0.6):
        shape = b.pick.choice([(out, 1), (1, out, 1)])
        return add_constant(b, back, shape, per_channel=True)
    return back


def unsqueezed(b: Builder, v: Value, axis: int) -> Value:
    """The value with an axis of one more."""
    shape = (*v.shape[:axis], 1, *v.shape[axis:])
    channel = v.channel
    if channel is not None and channel >= axis:
        channel += 1
    if b.opset < 13:
        return b.move("Unsqueeze", v, shape, channel, axes=[axis])
    return b.move("Unsqueeze", v, shape, channel, b.integers([axis]))


def add_constant(b: Builder, v: Value, shape: tuple[int, ...], *, per_channel: bool) -> Value:
    """A sum with a constant, on either side; a bias where it alone reads a layer without one."""
    number = constant(b, shape, "shift", 0.5)
    inputs = [v.name, number] if b.chance(0.6) else [number, v.name]
    made = b.layer("Add", inputs, v.shape, v.channel)
    if per_channel:
        b.sums[made.name] = (v.name, number)
        if v.channel is not None:
            b.step("Add", made, v, shape)
    b.note("Add", shape, "to", v.shape)
    return made


def pool(b: Builder, v: Value) -> Value:
    """A largest or a mean value of windows."""
    op = b.pick.choice(["MaxPool", "AveragePool"])
    size = [b.pick.randint(1, min(3, n)) for n in v.space]
    strides = [b.pick.randint(1, 2) for _ in size]
    pads = [b.pick.randrange(max(1, k)) // 2 for k in size * 2]
    given: dict[str, Any] = {}
    ceil = b.opset >= 10 and b.chance(0.3)
    if ceil:
        given["ceil_mode"] = 1
    if op == "AveragePool" and b.chance(0.5):
        given["count_include_pad"] = 1
    half = len(size)
    space = []
    for n, k, s, i, j in zip(v.space, size, strides, pads[:half], pads[half:], strict=True):
        rest = n + i + j - k
        count = -(-rest // s) + 1 if ceil else rest // s + 1
        # No window begins in the padding at the end.
        space.append(count - 1 if ceil and (count - 1) * s >= n + i else count)
    # What covers all positions is a global pool.
    whole = list(v.space) == size and not any(pads)
    b.note(op, size, "by", strides, given)
    return b.layer(
        op, [v.name], (*v.shape[:2], *space), 1, flat=whole, positive=False,
        kernel_shape=size, strides=strides, pads=pads, **given,
    )  # fmt: skip


def normalize(b: Builder, v: Value) -> Value:
    """A normalization whose channels are the second axis."""
    channels = v.channels
    ways = ["BatchNormalization"]
    if not b.traits.positive and min(v.space) > 1:
        ways += ["InstanceNormalization", "group"]
        if b.opset >= 21:
            ways += ["GroupNormalization"]
    way = b.pick.choice(ways)
    b.note(way, v.shape)
    if way == "group":
        return _group_norm(b, v)
    scale = constant(b, (channels,), "gamma", 1.0, 1.0)
    shift = constant(b, (channels,), "beta", 0.5)
    if way == "BatchNormalization":
        variance = b.hold(b.numbers.uniform(0.5, 2, channels).astype(np.float32), "variance")
        inputs = [v.name, scale, shift, constant(b, (channels,), "mean", 0.5), variance]
        given: dict[str, Any] = {"epsilon": 1e-3} if b.chance(0.5) else {}
        return b.layer("BatchNormalization", inputs, v.shape, 1, **given)
    inputs = [v.name, scale, shift]
    if way == "InstanceNormalization":
        return b.layer("InstanceNormalization", inputs, v.shape, 1, epsilon=1e-3)
    groups = b.pick.choice(divisors(channels))
    return b.layer("GroupNormalization", inputs, v.shape, 1, num_groups=groups, epsilon=1e-3)


def _group_norm(b: Builder, v: Value) -> Value:
    """As torch exports it: between Reshapes, then a factor and a summand for each channel."""
    groups = b.pick.choice(divisors(v.channels))
    n, first = v.shape[0], len(b.nodes)
    size = v.channels // groups * int(np.prod(v.space))
    # A view of groups is no picture; SPEC does not say where its channels lie.
    grouped = b.layer(
        "Reshape", [v.name, b.integers([0, groups, -1])], (n, groups, size), 1, sure=False
    )
    ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    normal = b.layer(
        "InstanceNormalization", [grouped.name, b.hold(ones, "ones"), b.hold(zeros, "zeros")],
        grouped.shape, 1, sure=False, epsilon=1e-3,
    )  # fmt: skip
    if b.chance(0.5) or any(b.traits.is_open):
        sizes = b.node("Shape", [v.name])
    else:
        sizes = b.integers([-1 if n == 1 else n, *v.shape[1:]])
    back = b.layer("Reshape", [normal.name, sizes], v.shape, 1)
    ends = [len(b.nodes) - 1]
    ones_behind = [1] * len(v.space)
    scale = constant(b, (v.channels, *ones_behind), "gamma", 1.0, 1.0)
    scaled = b.layer("Mul", [back.name, scale], v.shape, 1)
    made = add_constant(b, scaled, (v.channels, *ones_behind), per_channel=True)
    b.written.append(Written(first, (*ends, len(b.nodes) - 1)))
    return made


def resize(b: Builder, v: Value) -> Value:
    """Twice as large, by the operator that the opset has."""
    factors = [b.pick.randint(1, 2) for _ in v.space]
    space = [n * f for n, f in zip(v.space, factors, strict=True)]
    if max(space) > _LONGEST:
        return v
    shape = (*v.shape[:2], *space)
    scales = np.array([1, 1, *factors], np.float32)
    linear = b.chance(0.4) and len(v.space) == 2
    b.note("Resize", factors)
    if b.opset < 9:
        return b.layer(
            "Upsample", [v.name], shape, 1, scales=scales.tolist(),
            mode="linear" if linear else "nearest",
        )  # fmt: skip
    mode = "linear" if linear else "nearest"
    if b.opset < 11:
        op = "Upsample" if b.opset == 9 else "Resize"
        return b.layer(op, [v.name, b.hold(scales, "scales")], shape, 1, mode=mode)
    roi = "" if b.opset >= 13 else b.hold(np.zeros(0, np.float32), "roi")
    how = b.pick.choice(["asymmetric", "half_pixel", "align_corners"])
    given: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": how,
        "nearest_mode": "floor",
    }
    if b.chance(0.5) or any(b.traits.is_open):
        inputs = [v.name, roi, b.hold(scales, "scales")]
    else:
        none = "" if b.opset >= 13 else b.hold(np.zeros(0, np.float32), "scales")
        inputs = [v.name, roi, none, b.integers(shape)]
    return b.layer("Resize", inputs, shape, 1, **given)


def depth_to_space(b: Builder, v: Value) -> Value:
    """Channels become positions."""
    if len(v.space) != 2 or v.channels % 4 or max(v.space) * 2 > _LONGEST:
        return v
    shape = (v.shape[0], v.channels // 4, 2 * v.space[0], 2 * v.space[1])
    given: dict[str, Any] = {"mode": b.pick.choice(["DCR", "CRD"])} if b.opset >= 11 else {}
    b.note("DepthToSpace")
    return b.layer("DepthToSpace", [v.name], shape, 1, blocksize=2, **given)


def global_pool(b: Builder, v: Value) -> Value:
    """One number of each channel, by a Global pool."""
    op = b.pick.choice(["GlobalAveragePool", "GlobalMaxPool"])
    b.note(op)
    shape = (*v.shape[:2], *[1] * len(v.space))
    return b.layer(op, [v.name], shape, 1, flat=True)


def gate(b: Builder, v: Value) -> Value:
    """Squeeze and excitation: each channel by a number that all positions give."""
    pooled = global_pool(b, v)
    weight = kernel(b, (v.channels, v.channels, *[1] * len(v.space)), v.channels)
    bias = constant(b, (v.channels,), "bias", 0.5)
    made = b.layer("Conv", [pooled.name, weight, bias], pooled.shape, 1)
    none = (0,) * len(v.space)
    ones = (1,) * len(v.space)
    found = Convolution(weight, bias, pooled, ones, none, ones, 1, False)
    gates = b.layer("Sigmoid", [b.convolution(made, found).name], pooled.shape, 1)
    b.note("gate")
    return b.layer("Mul", b.pick.sample([v.name, gates.name], 2), v.shape, 1)
