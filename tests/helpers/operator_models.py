"""Small models of each operator whose bits were measured, one builder for each row of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from micam_fast.models.onnx.operator_row import MICROSOFT, Operator
from tests.helpers.microsoft_models import MICROSOFT_BUILDERS
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.single_operators import after, single

node = helper.make_node
Shape = tuple[int, ...]
Builder = Callable[[str, Shape], Iterator[onnx.ModelProto]]

SHAPES: list[Shape] = [
    (3, 5, 7), (13, 3, 3), (5, 33, 31), (16, 9, 11), (7, 1, 1), (9, 35), (1, 19), (130,),
]  # fmt: skip
"""Awkward for vectors, blocks and threads: without the batch."""


def operator_models(
    operator: Operator, shapes: Sequence[Shape] = tuple(SHAPES)
) -> Iterator[onnx.ModelProto]:
    """Small models of an operator; none where it has no builder."""
    builder = BUILDERS.get((operator.domain, operator.name))
    if builder is not None:
        for shape in shapes:
            yield from builder(operator.name, shape)


def _unary(**given: Any) -> Builder:
    return lambda op, shape: iter([single(op, shape, **given)])


def _binary(**given: Any) -> Builder:
    return lambda op, shape: iter([single(op, shape, random_array(1, shape[-1]), **given)])


_ONE, _ZERO = np.float32(1), {"zero": np.float32(0)}
_IS_POSITIVE = node("Greater", ["x", "zero"], ["yes"])


def _logical(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    others = [] if op == "Not" else [random_array(1, shape[-1]) > 0]
    yield after([_IS_POSITIVE], op, shape, *others, reads="yes", held=_ZERO)


def _integer(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    first = [node("Abs", ["x"], ["a"]), node("Cast", ["a"], ["i"], to=TensorProto.UINT32)]
    others = [] if op == "BitwiseNot" else [np.arange(shape[-1], dtype=np.uint32) % 7]
    given: Any = {"direction": "LEFT"} if op == "BitShift" else {}
    yield after(first, op, shape, *others, reads="i", opset=18, **given)


def _power(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    for power in (2, 0.5, 2.5):
        yield single(op, shape, np.array(power, np.float32))


def _cast(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    for kind in (TensorProto.FLOAT16, TensorProto.INT32, TensorProto.UINT8):
        yield single(op, shape, to=kind)


def _clip(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield single(op, shape, np.float32(-0.3), np.float32(0.7))


def _where(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield after([_IS_POSITIVE], op, shape, random_array(1, shape[-1]), reads="yes x", held=_ZERO)


_UNITS = {"scale": np.float32(0.03), "zero": np.uint8(120)}
_QUANTIZE = node("QuantizeLinear", ["x", "scale", "zero"], ["q"])


def _quantize(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield single(op, shape, *_UNITS.values())


def _dequantize(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield after([_QUANTIZE], op, shape, reads="q scale zero", held=_UNITS)


def _codes(*shape: int) -> Array:
    return np.random.default_rng(1).integers(-127, 127, shape).astype(np.int8)


def _convolutions(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    """The operator on 8 bits."""
    if len(shape) != 3 or min(shape[1:]) < 3:
        return
    for made, groups in ((5, 1), (16, 1), (shape[0], shape[0])):
        kernel = _codes(made, shape[0] // groups, 3, 3)
        yield from _quantized(op, shape, kernel, group=groups)


def _products(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    """The operator on 8 bits."""
    for columns in (1, 33):
        yield from _quantized(op, shape, _codes(shape[-1], columns))


def _quantized(op: str, shape: Shape, factor: Array, **given: Any) -> Iterator[onnx.ModelProto]:
    if op.endswith("Integer"):
        yield after([_QUANTIZE], op, shape, factor, reads="q", held=_UNITS, **given)
        return
    units = np.float32(0.01), np.int8(0), np.float32(0.05), np.uint8(110)
    reads = "q scale zero"
    yield after([_QUANTIZE], op, shape, factor, *units, reads=reads, held=_UNITS, **given)


def _concat(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield after([node("Neg", ["x"], ["n"])], op, shape, reads="x n x", axis=-1)


def _measure(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    """What reads a shape, of one sample's axes."""
    first = [node("Gather", ["x", "one"], ["part"], axis=0)]
    then = [node("Cast", ["made"], ["f"], to=1), node("ReduceSum", ["f"], ["s"], keepdims=0)]
    then.append(node("Add", ["x", "s"], ["o"]))
    yield after(first, op, shape, reads="part", then=then, held={"one": np.array([0])})


def _filled(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    first, then = [node("Shape", ["x"], ["s"])], [node("Add", ["x", "made"], ["o"])]
    yield after(first, op, shape, reads="s", then=then)


def _range(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    held = {"start": np.array(0), "step": np.array(1), "axis": np.array(len(shape))}
    first = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "axis"], ["stop"])]
    then = [node("Cast", ["made"], ["f"], to=1), node("Add", ["x", "f"], ["o"])]
    yield after(first, op, shape, reads="start stop step", then=then, held=held)


def _expand(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield single(op, (1, *shape), np.array([1, 3] + [1] * len(shape)))


def _gather(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield single(op, shape, np.array([0, shape[-1] - 1, 0]), axis=-1)


def _gather_by_values(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if shape[0] < 2 or shape[-1] < 2:
        return
    held = _ZERO | {"a": np.array([0]), "b": np.array([1]), "end": np.array([-1])}
    first = [
        node("Slice", ["x", "a", "b", "end"], ["cut"]),
        node("Greater", ["cut" if op == "GatherND" else "x", "zero"], ["yes"]),
        node("Cast", ["yes"], ["i"], to=TensorProto.INT64),
    ]
    given: dict[str, Any] = {"batch_dims": 1} if op == "GatherND" else {"axis": len(shape)}
    yield after(first, op, shape, reads="x i", held=held, **given)


def _pad(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    pads = [0] * len(shape) + [1]
    for mode in ("constant", "edge", "reflect") if shape[-1] > 1 else ("constant", "edge"):
        yield single(op, shape, np.array([*pads, *pads]), mode=mode)


def _slice(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield single(op, shape, np.array([-1]), np.array([-99]), np.array([-1]), np.array([-2]))


def _split(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if shape[-1] > 1:
        sizes = {"sizes": np.array([1, shape[-1] - 1])}
        nodes = [node(op, ["x", "sizes"], ["o", "p"], axis=-1, name="one")]
        yield make_model(nodes, {"x": ["N", *shape]}, ["o", "p"], sizes)


def _turned(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield single(op, shape, perm=[0, *range(len(shape), 0, -1)])


def _blocks(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 3:
        channels, height, width = shape
        whole = (channels * 4, height, width), (channels, height * 2, width * 2)
        yield single(op, whole[op == "SpaceToDepth"], blocksize=2)


def _within(*first: onnx.NodeProto, **held: Any) -> Builder:
    """Reads ``v``, which other nodes make of ``x``: where the operator gives no NaN."""
    return lambda op, shape: iter([after(first, op, shape, reads="v", held=held)])


def _dynamic(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    nodes = [node(op, ["x"], ["q", "s", "z"], name="one"), node("Cast", ["q"], ["o"], to=1)]
    yield make_model(nodes, {"x": ["N", *shape]}, ["o"])


def _each_axis(keep: bool = False, **given: Any) -> Builder:
    """Each axis but the batch's, as the attribute ``axis``."""

    def build(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
        for axis in range(1, len(shape) + 1):
            constants = [random_array(1, *shape[axis - 1 :])] if keep else []
            yield single(op, shape, *constants, axis=axis, **given)

    return build


def _ends(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    """Sums over the last axes, and over one of the others."""
    rank = len(shape)
    for axes in (*(list(range(n, rank + 1)) for n in range(1, rank + 1)), [1]):
        if op == "ReduceMean":
            yield single(op, shape, axes=axes)
        else:
            yield single(op, shape, np.array(axes))


def _some_axes(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    rank = len(shape)
    for axes in (*([n] for n in range(1, rank)), *(list(range(n, rank + 1)) for n in (1, rank))):
        yield single(op, shape, axes=axes)


def _largest(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if shape[-1] > 2:
        nodes = [node(op, ["x", "k"], ["o", "p"], name="one")]
        yield make_model(nodes, {"x": ["N", *shape]}, ["o", "p"], {"k": np.array([2])})


def _pool(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 3:
        yield single(op, shape, kernel_shape=[1, min(3, shape[-1])])
        yield single(op, shape, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 1])


def _global_pool(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) > 1:
        yield single(op, shape)


def _by_channel(count: int, **given: Any) -> Builder:
    """Reads so many numbers for each channel."""

    def build(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
        if len(shape) > 1:
            constants = [np.abs(random_array(n, shape[0])) for n in range(count)]
            yield single(op, shape, *constants, **given)

    return build


def _channels_first(**given: Any) -> Builder:
    return lambda op, shape: iter([single(op, shape, **given)] if len(shape) == 3 else [])


def _gemm(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 1:
        for rows in (1, 7, 300):
            yield single(op, shape, random_array(1, rows, shape[0]), transB=1)


def _matmul(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    for columns in (1, 7, 65):
        yield single(op, shape, random_array(1, shape[-1], columns))
    yield single(op, (1, shape[-1]), random_array(1, shape[-1], 33))


def _einsum(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 2:
        factor = random_array(1, shape[-1], 200)
        for rows in (1, shape[0]):
            yield single(op, (rows, shape[1]), factor, equation="bid,dj->bij")


def _convolution(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 2:
        yield single(op, shape, random_array(1, 9, shape[0], 5))
    if len(shape) != 3:
        return
    for made, size, groups in ((5, 1, 1), (16, 3, 1), (33, 3, 1), (shape[0], 3, shape[0])):
        if min(shape[1:]) >= size:
            kernel = random_array(1, made, shape[0] // groups, size, size)
            yield single(op, shape, kernel, group=groups)


def _transposed_convolution(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 2:
        yield single(op, shape, random_array(1, shape[0], 9, 5))
    if len(shape) == 3:
        for size, groups in ((1, 1), (3, 1), (3, shape[0])):
            yield single(op, shape, random_array(1, shape[0], 2, size, size), group=groups)


def _recurrent(gates: int, hidden: int = 65) -> Builder:
    def build(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
        if len(shape) == 2:
            weights = [
                random_array(1, 1, gates * hidden, shape[1], spread=0.1),
                random_array(2, 1, gates * hidden, hidden, spread=0.1),
            ]
            first = [node("Transpose", ["x"], ["t"], perm=[1, 0, 2])]
            then = [node("Transpose", ["made"], ["o"], perm=[2, 0, 1, 3])]
            yield after(first, op, shape, *weights, reads="t", then=then, hidden_size=hidden)

    return build


def _resize(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    scales = np.array([1] * len(shape) + [1.5], np.float32)
    for mode in ("nearest", "linear") if len(shape) == 3 else ("nearest",):
        if op == "Upsample":
            yield single(op, shape, scales, mode=mode, opset=9)
        else:
            nodes = [node(op, ["x", "", "s"], ["o"], mode=mode, name="one")]
            yield make_model(nodes, {"x": ["N", *shape]}, ["o"], {"s": scales})


_PLAIN = [
    "Abs", "Asinh", "Atan", "Ceil", "Celu", "Cos", "Cosh", "Dropout", "Elu", "Erf", "Exp", "Floor",
    "HardSigmoid", "HardSwish", "Identity", "IsNaN", "LeakyRelu", "Neg", "Reciprocal", "Relu",
    "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt",
    "Tan", "Tanh", "ThresholdedRelu",
]  # fmt: skip
_PAIRS = [
    "Add", "CastLike", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max",
    "Mean", "Min", "Mul", "PRelu", "Sub", "Sum",
]  # fmt: skip
_ALONG = ["ArgMax", "ArgMin", "Hardmax", "LogSoftmax", "LpNormalization", "Softmax"]
BUILDERS: dict[tuple[str, str], Builder] = {
    **{("", name): _unary() for name in _PLAIN},
    **{("", name): _binary() for name in _PAIRS},
    **{("", name): _within(node("Tanh", ["x"], ["v"])) for name in ("Acos", "Asin", "Atanh")},
    **{("", name): _logical for name in ("And", "Not", "Or", "Xor")},
    **{("", f"Bitwise{name}"): _integer for name in ("And", "Not", "Or", "Xor")},
    **{("", name): _each_axis() for name in _ALONG},
    **{("", name): _some_axes for name in ("ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2")},
    **{("", f"Reduce{name}"): _some_axes for name in ("LogSum", "LogSumExp", "Prod", "SumSquare")},
    **{("", f"{name}Pool"): _pool for name in ("Average", "Lp", "Max")},
    **{("", name): _gather_by_values for name in ("GatherElements", "GatherND")},
    **{("", name): _blocks for name in ("DepthToSpace", "SpaceToDepth")},
    **{("", name): _convolutions for name in ("ConvInteger", "QLinearConv")},
    **{("", name): _products for name in ("MatMulInteger", "QLinearMatMul")},
    **{("", name): _ends for name in ("ReduceMean", "ReduceSum")},
    **{("", name): _measure for name in ("Shape", "Size")},
    **{("", name): _recurrent(gates) for name, gates in (("GRU", 3), ("LSTM", 4), ("RNN", 1))},
    **{("", name): _resize for name in ("Resize", "Upsample")},
    **{("", name): _unary(opset=20) for name in ("Gelu", "IsInf")},
    **{("", f"Global{name}Pool"): _global_pool for name in ("Average", "Lp", "Max")},
    ("", "Acosh"): _within(node("Exp", ["x"], ["a"]), node("Sum", ["a", "one"], ["v"]), one=_ONE),
    ("", "BatchNormalization"): _by_channel(4),
    ("", "BitShift"): _integer,
    ("", "Cast"): _cast,
    ("", "Clip"): _clip,
    ("", "Concat"): _concat,
    ("", "ConstantOfShape"): _filled,
    ("", "Conv"): _convolution,
    ("", "ConvTranspose"): _transposed_convolution,
    ("", "CumSum"): lambda op, shape: iter([single(op, shape, np.array(len(shape)))]),
    ("", "DequantizeLinear"): _dequantize,
    ("", "DynamicQuantizeLinear"): _dynamic,
    ("", "Einsum"): _einsum,
    ("", "Expand"): _expand,
    ("", "Flatten"): _unary(),
    ("", "Gather"): _gather,
    ("", "Gemm"): _gemm,
    ("", "InstanceNormalization"): _by_channel(2),
    ("", "LRN"): _channels_first(size=3),
    ("", "LayerNormalization"): _each_axis(keep=True),
    ("", "Log"): _within(node("Abs", ["x"], ["v"])),
    ("", "MatMul"): _matmul,
    ("", "MeanVarianceNormalization"): _channels_first(axes=[2, 3]),
    ("", "Mish"): _unary(opset=18),
    ("", "Mod"): _binary(fmod=1),
    ("", "Pad"): _pad,
    ("", "Pow"): _power,
    ("", "QuantizeLinear"): _quantize,
    ("", "RMSNormalization"): _each_axis(keep=True, opset=23),
    ("", "Range"): _range,
    ("", "Reshape"): lambda op, shape: iter([single(op, shape, np.array([0, -1]))]),
    ("", "Slice"): _slice,
    ("", "Split"): _split,
    ("", "Squeeze"): lambda op, shape: iter([single(op, (1, *shape), np.array([1]))]),
    ("", "Tile"): lambda op, shape: iter([single(op, shape, np.array([1] * len(shape) + [3]))]),
    ("", "TopK"): _largest,
    ("", "Transpose"): _turned,
    ("", "Trilu"): lambda op, shape: iter([single(op, shape)] if len(shape) > 1 else []),
    ("", "Unsqueeze"): lambda op, shape: iter([single(op, shape, np.array([1]))]),
    ("", "Where"): _where,
    **{(MICROSOFT, name): builder for name, builder in MICROSOFT_BUILDERS.items()},
}
"""By domain and name."""
