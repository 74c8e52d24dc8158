"""Operators that care little where channels lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from tests.helpers.random_graphs.builder import Builder, Value
from tests.helpers.random_graphs.constants import constant
from tests.helpers.random_graphs.pictures import add_constant

_BOUNDED = ("Sigmoid", "Tanh", "HardSigmoid", "Softplus", "Elu", "Selu", "Softsign")
_MOST_CHANNELS = 16


def calculate(b: Builder, v: Value) -> Value:
    """A constant of any shape that broadcasts, on either side."""
    shape, per_channel = b.pick.choice(_shapes(b, v))
    if b.traits.positive:
        op = b.pick.choice(["Mul", "Add"])
    else:
        op = b.pick.choice(["Mul", "Add", "Sub", "Div"])
    if op == "Add":
        return add_constant(b, v, shape, per_channel=per_channel)
    right = b.chance(0.7) or (op == "Div" and not v.positive)
    around = 1.0 if op == "Div" and right else 0.0
    number = constant(b, shape, "factor" if op != "Sub" else "shift", 1.0, around)
    b.note(op, shape, "right of" if right else "left of", v.shape)
    inputs = [v.name, number] if right else [number, v.name]
    made = b.layer(op, inputs, v.shape, v.channel)
    if per_channel and (right or op == "Mul"):
        b.step(op, made, v, shape)
    return made


def _shapes(b: Builder, v: Value) -> list[tuple[tuple[int, ...], bool]]:
    """Shapes of constants, and whether they have one number for each channel."""
    rank = v.rank
    assert v.channel is not None
    whole = tuple(n if axis == v.channel else 1 for axis, n in enumerate(v.shape))
    short = whole[v.channel :]
    found = [(whole, True), (short, True), (whole[1:], True)] * 2
    found += [((), True), ((1,), True), ((1,) * rank, True)]
    for axis in range(1, rank):
        if axis != v.channel and v.shape[axis] > 1:
            along = tuple(n if a == axis else 1 for a, n in enumerate(v.shape))
            found += [(along, False), (along[axis:], False)]
    if b.chance(0.3):
        found.append((v.shape[1:], all(n == 1 for n in v.space)))
    # A last axis of one is no trap: what lies along it is one number.
    return [(shape, is_one) for shape, is_one in found if len(shape) <= rank]


def activate(b: Builder, v: Value) -> Value:
    """A function of each value."""
    b.note("activation of", v.shape)
    ways = ["Relu", "Relu", "LeakyRelu", "PRelu", "Clip"]
    if not b.traits.positive:
        ways += [*_BOUNDED, "Swish", "Exp"]
        ways += ["HardSwish"] if b.opset >= 14 else []
        ways += ["Mish"] if b.opset >= 18 else []
        ways += ["Gelu"] if b.opset >= 20 else ["Erf"] if b.opset >= 9 else []
    way = b.pick.choice(ways)
    if way == "Clip":
        return _clip(b, v)
    if way == "PRelu":
        assert v.channel is not None
        shape = tuple(n if axis == v.channel else 1 for axis, n in enumerate(v.shape))
        slope = constant(b, b.pick.choice([shape[v.channel :], shape[1:], (1,)]), "slope", 0.3)
        return b.layer("PRelu", [v.name, slope], v.shape, v.channel)
    if way == "Swish":
        gates = b.layer("Sigmoid", [v.name], v.shape, v.channel)
        return b.layer("Mul", b.pick.sample([v.name, gates.name], 2), v.shape, v.channel)
    if way == "Exp":
        # Of what is bounded, so that nothing grows beyond measure.
        bounded = b.layer("Tanh", [v.name], v.shape, v.channel)
        return b.layer("Exp", [bounded.name], v.shape, v.channel, positive=True)
    given: dict[str, Any] = {"alpha": 0.2} if way == "LeakyRelu" and b.chance(0.5) else {}
    return b.layer(way, [v.name], v.shape, v.channel, **given)


def _clip(b: Builder, v: Value) -> Value:
    bounds = b.pick.choice([(0.0, 6.0), (0.0, None), (None, 1.5), (-0.5, 0.5), (None, None)])
    if b.traits.positive:
        bounds = b.pick.choice([(0.0, None), (-1.0, None)])
    if b.opset < 11:
        named = zip(("min", "max"), bounds, strict=True)
        kept: dict[str, Any] = {key: bound for key, bound in named if bound is not None}
        return b.layer("Clip", [v.name], v.shape, v.channel, **kept)
    names = [_bound(b, bound) for bound in bounds]
    while names and not names[-1]:
        names.pop()
    return b.layer("Clip", [v.name, *names], v.shape, v.channel)


def _bound(b: Builder, bound: float | None) -> str:
    if bound is None:
        return ""
    number = np.array(bound, np.float32)
    if b.chance(0.4):
        return b.hold(number, "bound")
    name = b.node("Constant", [], value=numpy_helper.from_array(number))
    return b.node("Identity", [name]) if b.chance(0.2) else name


def pad(b: Builder, v: Value) -> Value:
    """More positions at the borders."""
    if b.traits.positive:
        mode = b.pick.choice(["constant", "edge"])
    else:
        mode = b.pick.choice(["constant", "constant", "reflect", "edge"])
    at = [axis for axis in range(1, v.rank) if axis != v.channel]
    begins, ends = [0] * v.rank, [0] * v.rank
    for axis in at:
        most = min(2, v.shape[axis] - 1)
        begins[axis], ends[axis] = (b.pick.randint(0, most) for _ in range(2))
    shape = [n + i + j for n, i, j in zip(v.shape, begins, ends, strict=True)]
    if max(shape) > _MOST_CHANNELS:
        return v
    b.note("Pad", mode, begins, ends)
    if b.opset < 11:
        return b.layer("Pad", [v.name], shape, v.channel, mode=mode, pads=begins + ends)
    inputs = [v.name, b.integers(begins + ends)]
    if mode == "constant" and b.chance(0.5):
        inputs.append(b.hold(np.float32(b.pick.choice([0, 0.5])), "fill"))
    return b.layer("Pad", inputs, shape, v.channel, mode=mode)


def cut(b: Builder, v: Value) -> Value:
    """Fewer positions, by a Slice."""
    at = [axis for axis in range(1, v.rank) if axis != v.channel and v.shape[axis] > 2]
    if not at:
        return v
    axis = b.pick.choice(at)
    begin, end = b.pick.choice([(1, 2**31 - 1), (0, -1)])
    shape = list(v.shape)
    shape[axis] -= 1
    b.note("Slice", axis, begin, end)
    if b.opset < 10:
        given: dict[str, Any] = {"axes": [axis], "starts": [begin], "ends": [end]}
        return b.layer("Slice", [v.name], shape, v.channel, **given)
    inputs = [v.name, *(b.integers([number]) for number in (begin, end, axis))]
    return b.layer("Slice", inputs, shape, v.channel)


def join(b: Builder, v: Value) -> Value:
    """Channels of two values of one size."""
    others = [
        o
        for o in b.pool
        if o.rank == v.rank and o.channel == v.channel and o.space == v.space
        and o.channels + v.channels <= _MOST_CHANNELS
    ]  # fmt: skip
    if not others:
        return v
    other = b.pick.choice(others[-4:])
    parts = b.pick.sample([v, other], 2)
    assert v.channel is not None
    shape = list(v.shape)
    shape[v.channel] = v.channels + other.channels
    axis = v.channel if b.opset < 11 or b.chance(0.7) else v.channel - v.rank
    b.note("Concat", [each.channels for each in parts], "axis", axis)
    return b.layer("Concat", [each.name for each in parts], shape, v.channel, axis=axis)


def combine(b: Builder, v: Value) -> Value:
    """A residual: two values of one shape, element by element."""
    others = [o for o in b.pool if o.shape == v.shape and o.channel == v.channel]
    if not others:
        return v
    other = b.pick.choice(others[-5:])
    ops = ["Add", "Add", "Mul", "Max"] if not b.traits.positive else ["Add", "Add", "Max"]
    op = b.pick.choice(ops)
    b.note(op, "of two activations")
    return b.layer(op, b.pick.sample([v.name, other.name], 2), v.shape, v.channel)


def hand_on(b: Builder, v: Value) -> Value:
    """What does nothing: Identity, or a Dropout at rest."""
    if b.chance(0.5):
        return b.move("Identity", v, v.shape, v.channel)
    b.note("Dropout")
    return b.layer("Dropout", [v.name], v.shape, v.channel, positive=v.positive)


def soften(b: Builder, v: Value) -> Value:
    """A Softmax over the channels."""
    assert v.channel is not None
    b.note("Softmax over channels")
    return b.layer("Softmax", [v.name], v.shape, v.channel, axis=v.channel)
