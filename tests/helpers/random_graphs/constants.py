"""Constants as exporters write them: initializers, nodes, and what is computed from others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.helpers.random_graphs.builder import Builder, product

Shape = tuple[int, ...]


def constant(b: Builder, shape: Shape, stem: str, spread: float = 1.0, around: float = 0.0) -> str:
    """The name of a constant with random numbers of a shape."""
    if b.traits.constants == "plain" or b.chance(0.6):
        return _held(b, shape, stem, spread, around)
    ways = [way for way, applies in _WAYS if applies(b, shape)]
    way = b.pick.choice(ways)
    if around and way not in _PLAIN:
        # What divides must not come near zero.
        way = b.pick.choice([each for each in _PLAIN if each in ways])
    b.note("constant", stem, shape, "by", way.__name__.strip("_"))
    return way(b, shape, stem, spread, around)


def kernel(b: Builder, shape: Shape, fan: int) -> str:
    """The name of a kernel; now and then one that another layer has already."""
    if shape in b.shared and b.chance(0.3):
        b.note("shared kernel", shape)
        return b.shared[shape]
    spread = 1 / np.sqrt(max(1, fan))
    if not b.traits.positive and b.traits.constants == "computed" and b.chance(0.4):
        ways = [_standardized, _normalized, _low_rank]
        # ONNX Runtime computes a product with such a matrix in 8 bits, or not, as what is given
        # out lets it: that is off by its own rounding.
        ways += [_quantized] if len(shape) > 2 else []
        name = b.pick.choice(ways)(b, shape, spread)
    else:
        name = constant(b, shape, "weight", spread)
    b.shared[shape] = name
    return name


def _held(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    array = b.weights(*shape, spread=spread)
    if around and not b.traits.positive:
        array = (around * np.exp(0.3 * array)).astype(np.float32)
    if b.chance(0.75):
        return b.hold(array, stem)
    return b.node("Constant", [], value=numpy_helper.from_array(array))


def _identity(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    return b.node("Identity", [_held(b, shape, stem, spread, around)])


def _reshaped(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    to = list(shape)
    if to and b.chance(0.5):
        to[b.pick.randrange(len(to))] = -1
    flat = _held(b, (product(shape),), stem, spread, around)
    return b.node("Reshape", [flat, b.integers(to)])


def _transposed(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    perm = b.pick.sample(range(len(shape)), len(shape))
    before = [0] * len(shape)
    for place, axis in enumerate(perm):
        before[axis] = shape[place]
    return b.node("Transpose", [_held(b, tuple(before), stem, spread, around)], perm=perm)


def _multiplied(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    factor = tuple(n if b.chance(0.5) else 1 for n in shape)
    whole = _held(b, shape, stem, spread, around)
    return b.node("Mul", [whole, _held(b, factor, "gain", 1.0, 1.0)])


def _added(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    parts = [_held(b, shape, stem, spread, around) for _ in range(2)]
    return b.node("Add", parts)


def _joined(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    cut = b.pick.randrange(1, shape[0])
    sizes = (cut, *shape[1:]), (shape[0] - cut, *shape[1:])
    parts = [_held(b, each, stem, spread, around) for each in sizes]
    return b.node("Concat", parts, axis=0)


def _gathered(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    more = shape[0] + b.pick.randrange(3)
    whole = _held(b, (more, *shape[1:]), stem, spread, around)
    rows = b.pick.sample(range(more), shape[0])
    return b.node("Gather", [whole, b.integers(rows)], axis=0)


def _expanded(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    small = tuple(n if b.chance(0.7) else 1 for n in shape)
    return b.node("Expand", [_held(b, small, stem, spread, around), b.integers(shape)])


def _exponential(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    return b.node("Exp", [_held(b, shape, f"log_{stem}", 0.5 * spread, 0.0)])


def _cast(b: Builder, shape: Shape, stem: str, spread: float, around: float) -> str:
    array = b.weights(*shape, spread=spread).astype(np.float64)
    if around and not b.traits.positive:
        array = around * np.exp(0.3 * array)
    return b.node("Cast", [b.hold(array, stem)], to=TensorProto.FLOAT)


_WAYS: tuple[tuple[Callable[..., str], Callable[[Builder, Shape], bool]], ...] = (
    (_identity, lambda b, shape: True),
    (_reshaped, lambda b, shape: bool(shape)),
    (_transposed, lambda b, shape: len(shape) > 1),
    (_multiplied, lambda b, shape: True),
    (_added, lambda b, shape: True),
    (_joined, lambda b, shape: bool(shape) and shape[0] > 1),
    (_gathered, lambda b, shape: bool(shape)),
    (_expanded, lambda b, shape: bool(shape)),
    (_exponential, lambda b, shape: not b.traits.positive),
    (_cast, lambda b, shape: True),
)
_PLAIN = (_identity, _reshaped, _transposed, _multiplied, _joined, _gathered, _expanded, _cast)


# --- Kernels of which training keeps more than their numbers ---------------------------------


def _mean(b: Builder, name: str, rank: int) -> str:
    axes = list(range(1, rank))
    if b.opset < 18:
        return b.node("ReduceMean", [name], axes=axes, keepdims=1)
    return b.node("ReduceMean", [name, b.integers(axes)], keepdims=1)


def _standardized(b: Builder, shape: Shape, spread: float) -> str:
    """Weight standardization, as NFNets and BiT have it."""
    b.note("standardized kernel")
    raw = b.hold(b.weights(*shape), "weight")
    centred = b.node("Sub", [raw, _mean(b, raw, len(shape))])
    variance = _mean(b, b.node("Mul", [centred, centred]), len(shape))
    small = b.hold(np.float32(1e-4), "eps")
    deviation = b.node("Sqrt", [b.node("Add", [variance, small])])
    whole = b.node("Div", [centred, deviation])
    gain = b.hold(b.weights(shape[0], *[1] * (len(shape) - 1), spread=spread), "gain")
    return b.node("Mul", [whole, gain])


def _normalized(b: Builder, shape: Shape, spread: float) -> str:
    """Weight normalization: a direction by its length, times a length."""
    b.note("normalized kernel")
    raw = b.hold(b.weights(*shape), "weight_v")
    axes = list(range(1, len(shape)))
    if b.opset < 18:
        length = b.node("ReduceL2", [raw], axes=axes, keepdims=1)
    else:
        length = b.node("ReduceL2", [raw, b.integers(axes)], keepdims=1)
    gain = b.hold(b.weights(shape[0], *[1] * (len(shape) - 1)), "weight_g")
    return b.node("Mul", [b.node("Div", [raw, length]), gain])


def _quantized(b: Builder, shape: Shape, spread: float) -> str:
    """Whole numbers with a scale."""
    if b.opset < 13:
        return _normalized(b, shape, spread)
    b.note("quantized kernel")
    codes = b.numbers.integers(-127, 128, shape).astype(np.int8)
    if b.chance(0.5):
        scales = b.numbers.uniform(0.5, 1.5, shape[0]).astype(np.float32) * np.float32(spread / 60)
        return b.node("DequantizeLinear", [b.hold(codes, "codes"), b.hold(scales, "scale")], axis=0)
    scale = b.hold(np.float32(spread / 60), "scale")
    return b.node("DequantizeLinear", [b.hold(codes, "codes"), scale])


def _low_rank(b: Builder, shape: Shape, spread: float) -> str:
    """A sum of a kernel and a product of two thin ones."""
    b.note("low-rank kernel")
    left = b.hold(b.weights(shape[0], 2, spread=spread), "lora_a")
    right = b.hold(b.weights(2, product(shape[1:])), "lora_b")
    moved = b.node("Reshape", [b.node("MatMul", [left, right]), b.integers(shape)])
    return b.node("Add", [b.hold(b.weights(*shape, spread=spread), "weight"), moved])
