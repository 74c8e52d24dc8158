"""Channels last and tokens: Transposes and Reshapes to them and back, and what is done there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from tests.helpers.random_graphs.builder import Builder, Value, product
from tests.helpers.random_graphs.constants import constant, kernel
from tests.helpers.random_graphs.operations import Written
from tests.helpers.random_graphs.pictures import add_constant, convolve

Size = int | str
"""A size as a number, or the name of a value of shape (1,) that holds it."""


def to_last(b: Builder, v: Value) -> Value:
    """From channels first to channels last."""
    shape = (v.shape[0], *v.space, v.channels)
    perm = [0, *range(2, v.rank), 1]
    b.note("to channels last", shape)
    return b.move("Transpose", v, shape, v.rank - 1, perm=perm)


def to_first(b: Builder, v: Value) -> Value:
    """From channels last to channels first."""
    shape = (v.shape[0], v.channels, *v.space)
    perm = [0, v.rank - 1, *range(1, v.rank - 1)]
    b.note("to channels first", shape)
    return b.move("Transpose", v, shape, 1, perm=perm)


def convolve_between(b: Builder, v: Value) -> Value:
    """A convolution in the midst of channels last, as tf2onnx writes it."""
    made = convolve(b, to_first(b, v))
    back = to_last(b, made)
    if b.chance(0.5):
        n = back.channels
        ones = (1,) * (back.rank - 2)
        shape = b.pick.choice([(n,), (*ones, n), (1, *ones, n)])
        return add_constant(b, back, shape, per_channel=True)
    return back


def dense(b: Builder, v: Value) -> Value:
    """A matrix product over the last axis, with or without a bias behind it."""
    out = b.traits.square if b.traits.square and b.chance(0.7) else b.pick.randint(2, 8)
    weight = kernel(b, (v.channels, out), v.channels)
    b.note("MatMul", v.channels, "to", out)
    shape = (*v.shape[:-1], out)
    made = b.layer("MatMul", [v.name, weight], shape, v.rank - 1, takes_bias=True)
    if b.chance(0.6):
        bias = b.pick.choice([(out,), (1,) * (v.rank - 1) + (out,), ()])
        return add_constant(b, made, bias, per_channel=True)
    return made


def layer_norm(b: Builder, v: Value) -> Value:
    """A normalization over the channels, as one operator or, in older opsets, as nine."""
    b.note("layer normalization", v.shape)
    scale = constant(b, (v.channels,), "gamma", 1.0, 1.0)
    shift = constant(b, (v.channels,), "beta", 0.5)
    last = v.rank - 1
    if b.opset >= 17 and b.chance(0.7):
        axis = b.pick.choice([-1, last])
        inputs = [v.name, scale, shift]
        return b.layer("LayerNormalization", inputs, v.shape, last, axis=axis, epsilon=1e-3)
    first = len(b.nodes)
    mean = _mean(b, v)
    centred = b.layer("Sub", [v.name, mean.name], v.shape, last)
    squares = b.layer("Mul", [centred.name, centred.name], v.shape, last)
    variance = _mean(b, squares)
    small = b.hold(np.float32(1e-3), "eps")
    safe = b.layer("Add", [variance.name, small], mean.shape, last)
    deviation = b.layer("Sqrt", [safe.name], mean.shape, last)
    normal = b.layer("Div", [centred.name, deviation.name], v.shape, last)
    ends = [len(b.nodes) - 1]
    scaled = b.layer("Mul", [normal.name, scale], v.shape, last)
    ends.append(len(b.nodes) - 1)
    if b.chance(0.1):
        made = add_constant(b, scaled, (v.channels,), per_channel=True)
    else:
        made = b.layer("Add", [scaled.name, shift], v.shape, last)
    b.written.append(Written(first, (*ends, len(b.nodes) - 1)))
    return made


def _mean(b: Builder, v: Value) -> Value:
    shape = (*v.shape[:-1], 1)
    axes = [b.pick.choice([-1, v.rank - 1])]
    if b.opset < 18:
        return b.layer("ReduceMean", [v.name], shape, v.rank - 1, axes=axes, keepdims=1)
    return b.layer("ReduceMean", [v.name, b.integers(axes)], shape, v.rank - 1, keepdims=1)


# --- Sizes ------------------------------------------------------------------------------------


def sizes(b: Builder, v: Value) -> list[str]:
    """The sizes of a value, computed by its Shape: a name of shape (1,) for each axis."""
    shape = b.node("Shape", [v.name])
    style = b.pick.choice(["gather", "slice", "cast"])
    found = []
    for axis in range(v.rank):
        if style == "slice" and b.opset >= 10:
            bounds = [b.integers([axis]), b.integers([axis + 1])]
            found.append(b.node("Slice", [shape, *bounds, b.integers([0])]))
            continue
        name = b.node("Gather", [shape, b.hold(np.int64(axis), "index")], axis=0)
        if style == "cast":
            # tf2onnx keeps sizes as int32 in between.
            small = b.node("Cast", [name], to=TensorProto.INT32)
            name = b.node("Cast", [small], to=TensorProto.INT64)
        found.append(_unsqueeze(b, name))
    return found


def _unsqueeze(b: Builder, name: str) -> str:
    if b.opset < 13:
        return b.node("Unsqueeze", [name], axes=[0])
    return b.node("Unsqueeze", [name, b.integers([0])])


def target(b: Builder, wanted: Sequence[Size]) -> str:
    """Where a Reshape leads to: a constant list, or one that is joined from computed sizes."""
    if all(isinstance(size, int) for size in wanted):
        return b.integers([size for size in wanted if isinstance(size, int)])
    parts = [b.integers([size]) if isinstance(size, int) else size for size in wanted]
    return b.node("Concat", parts, axis=0)


def _batch(b: Builder, found: list[str]) -> Size:
    """How a Reshape keeps the batch."""
    if found:
        return found[0]
    return 0 if b.chance(0.7) else b.batch if isinstance(b.traits.batch, int) else 0


def _either(b: Builder, computed: Size | None, number: int) -> Size:
    """A size by computation, where there is such and the graph asks for it, or in numbers."""
    if computed is not None and (any(b.traits.is_open) or b.chance(0.5)):
        return computed
    return number


# --- Tokens ----------------------------------------------------------------------------------


def to_tokens(b: Builder, v: Value) -> Value:
    """From a picture to a sequence of its positions, channels last."""
    computed = sizes(b, v) if any(b.traits.is_open) or b.chance(0.4) else []
    length = product(v.space)
    n = v.shape[0]
    places = [axis for axis in range(1, v.rank) if axis != v.channel]
    count: Size = length
    if computed and b.chance(0.5):
        count = computed[places[0]]
        for axis in places[1:]:
            count = b.node("Mul", [count, computed[axis]])
    elif computed or b.chance(0.5):
        count = -1
    batch = _batch(b, computed)
    channels = v.channels
    b.note("tokens", "computed" if computed else "constant", count if count == -1 else length)
    if v.last:
        to = target(b, [batch, count, channels])
        return b.layer("Reshape", [v.name, to], (n, length, channels), 2)
    to = target(b, [batch, _either(b, computed[1] if computed else None, channels), count])
    flat = b.layer("Reshape", [v.name, to], (n, channels, length), 1)
    return to_last(b, flat)


def from_tokens(b: Builder, v: Value, space: tuple[int, ...], origin: Value) -> Value:
    """From tokens back to a picture of this size, which `origin` has."""
    places = [axis for axis in range(1, origin.rank) if axis != origin.channel]
    computed = sizes(b, origin) if any(b.traits.is_open) or b.chance(0.4) else []
    batch = sizes(b, v)[:1] if computed and b.chance(0.5) else computed
    sides: list[Size] = [
        _either(b, computed[axis] if computed else None, size)
        for axis, size in zip(places, space, strict=True)
    ]
    n = v.shape[0]
    b.note("from tokens to", space, "computed" if computed else "constant")
    if b.chance(0.5):
        to = target(b, [_batch(b, batch), *sides, v.channels])
        return b.layer("Reshape", [v.name, to], (n, *space, v.channels), len(space) + 1)
    moved = to_first(b, v)
    to = target(b, [_batch(b, batch), v.channels, *sides])
    return b.layer("Reshape", [moved.name, to], (n, v.channels, *space), 1)


# --- Heads -----------------------------------------------------------------------------------


def flatten(b: Builder, v: Value) -> Value:
    """All values of a sample in a row."""
    n, count = v.shape[0], product(v.shape[1:])
    if b.chance(0.5):
        b.note("Flatten")
        return b.layer("Flatten", [v.name], (n, count), None, flat=True)
    b.note("Reshape to a row")
    to = b.pick.choice([[0, -1], [0, count], [-1, count]])
    return b.layer("Reshape", [v.name, b.integers(to)], (n, count), None)


def average(b: Builder, v: Value) -> Value:
    """The mean over all positions, by ReduceMean."""
    axes = [axis for axis in range(1, v.rank) if axis != v.channel]
    keep = b.chance(0.3)
    shape: tuple[int, ...] = (v.shape[0], v.channels)
    channel: int | None = None
    if keep:
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(v.shape))
        channel = v.channel
    given: dict[str, Any] = {"keepdims": int(keep)}
    b.note("ReduceMean over positions", given)
    if b.opset < 18:
        made = b.layer("ReduceMean", [v.name], shape, channel, flat=True, axes=axes, **given)
    else:
        inputs = [v.name, b.integers(axes)]
        made = b.layer("ReduceMean", inputs, shape, channel, flat=True, **given)
    return flatten(b, made) if keep else made


def classify(b: Builder, v: Value) -> Value:
    """One or two dense layers, and a Softmax, of a flat value."""
    made = v
    for _ in range(b.pick.randint(1, 2)):
        made = _dense_layer(b, made)
        if b.chance(0.4):
            made = b.layer("Relu", [made.name], made.shape, None)
    if b.chance(0.5):
        made = b.layer("Softmax", [made.name], made.shape, None, axis=b.pick.choice([1, -1]))
    b.note("head of", made.shape)
    return made


def _dense_layer(b: Builder, v: Value) -> Value:
    n, features = v.shape
    out = b.pick.randint(2, 6)
    if b.chance(0.5):
        transposed = b.chance(0.5)
        weight = kernel(b, (out, features) if transposed else (features, out), features)
        has_bias = b.opset < 11 or b.chance(0.7)
        bias = [constant(b, (out,), "bias", 0.5)] if has_bias else []
        return b.layer(
            "Gemm", [v.name, weight, *bias], (n, out), None, flat=True, takes_bias=not bias,
            transB=int(transposed),
        )  # fmt: skip
    weight = kernel(b, (features, out), features)
    made = b.layer("MatMul", [v.name, weight], (n, out), None, takes_bias=True)
    if b.chance(0.7):
        return add_constant(b, made, b.pick.choice([(out,), (1, out)]), per_channel=True)
    return made
