"""Small models of the operators that ONNX Runtime adds, one builder for each row of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper

from micam_fast.models.onnx.operator_row import MICROSOFT
from tests.helpers.models import Array, random_array
from tests.helpers.single_operators import after, single

node = helper.make_node
Shape = tuple[int, ...]
Builder = Callable[[str, Shape], Iterator[onnx.ModelProto]]

IN = np.float32(0.03), np.uint8(120)
OUT = np.float32(0.05), np.uint8(110)
WEIGHTS = np.float32(0.01), np.int8(0)
_HELD = {"scale": IN[0], "zero": IN[1]}
_QUANTIZE = node("QuantizeLinear", ["x", "scale", "zero"], ["q"])


def codes(*shape: int, kind: Any = np.int8) -> Array:
    """Quantized weights."""
    low = -127 if kind is np.int8 else 0
    return np.random.default_rng(1).integers(low, low + 254, shape).astype(kind)


def quantized(
    op: str, shape: Shape, *constants: Any, reads: str = "q scale zero", **given: Any
) -> onnx.ModelProto:
    """An operator that reads the codes of ``x``, and constants."""
    return after(
        [_QUANTIZE], op, shape, *constants, reads=reads, held=_HELD, domain=MICROSOFT, **given
    )


def _last(
    op: str, shape: Shape, *constants: Any, given: dict[str, Any], attribute: bool = True
) -> Iterator[onnx.ModelProto]:
    """Reads codes with the channels second, and last, the place that the attribute names."""
    if len(shape) == 3 and min(shape[1:]) > 2:
        if attribute:
            yield quantized(op, shape, *constants, **given)
            given = given | {"channels_last": 1}
        first = [_QUANTIZE, node("Transpose", ["q"], ["t"], perm=[0, 2, 3, 1])]
        then = [node("Transpose", ["made"], ["o"], perm=[0, 3, 1, 2])]
        reads = "t scale zero" if attribute else "t"
        yield after(
            first, op, shape, *constants, reads=reads, then=then, held=_HELD, domain=MICROSOFT,
            **given,
        )  # fmt: skip


def _convolution(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    for size, strides, groups in ((3, [2, 1], 1), (2, [1, 1], 1), (3, [1, 1], shape[0])):
        kernel = codes(2 * groups, shape[0] // groups, size, size)
        given = {"strides": strides, "pads": [1, 0, 0, 1], "group": groups}
        yield from _last(op, shape, kernel, *WEIGHTS, *OUT, given=given)


def _fused_convolution(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    """With an activation function, and with a second value that is added before it."""
    if len(shape) != 3:
        return
    channels = shape[0]
    kernel, bias = random_array(1, channels, channels, 3, 3), random_array(2, channels)
    given: dict[str, Any] = {"pads": [1] * 4, "domain": MICROSOFT, "activation": "LeakyRelu"}
    given["activation_params"] = [0.1]
    yield single(op, shape, kernel, bias, **given)
    first = [node("Identity", ["kept"], ["k"]), node("Identity", ["b"], ["bias"])]
    held = {"kept": kernel, "b": bias}
    yield after(first, op, shape, reads="x k bias x", held=held, **given)


def _pool(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    given = {"kernel_shape": [2, 3], "pads": [0, 1, 1, 0], "strides": [1, 2]}
    if op == "NhwcMaxPool":
        yield from _last(op, shape, given=given, attribute=False)
    else:
        yield from _last(op, shape, *OUT, given=given)


def _global_pool(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield from _last(op, shape, *OUT, given={})


def _by_codes(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    """Element by element."""
    yield quantized(op, shape, *OUT)


def _with_codes(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    other = np.arange(200, 200 + shape[-1] % 50, dtype=np.uint8)
    yield quantized(op, shape, np.resize(other, (1, shape[-1])), *IN, *OUT)


def _choice(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    other = codes(1, shape[-1], kind=np.uint8)
    first = [_QUANTIZE, node("Greater", ["x", "nought"], ["yes"])]
    held = _HELD | {"nought": np.float32(0)}
    reads = "yes q scale zero"
    yield after(
        first, op, shape, other, *IN, *OUT, reads=reads, held=held, domain=MICROSOFT
    )  # fmt: skip


def _concat(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    reads = "outer middle q scale zero q scale zero"
    held = _HELD | {"outer": OUT[0], "middle": OUT[1]}
    given: dict[str, Any] = {"domain": MICROSOFT, "axis": -1}
    yield after([_QUANTIZE], op, shape, reads=reads, held=held, **given)


def _softmax(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    units = np.float32(1 / 256), np.uint8(0)
    for axis, opset in ((-1, 13), (len(shape), 11)):
        # `after` would take it for the model's.
        model = quantized(op, shape, *units, axis=axis)
        model.graph.node[1].attribute.append(helper.make_attribute("opset", opset))
        yield model


def _gemm(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) != 1:
        return
    bias = codes(4).astype(np.int32)
    for turned in (0, 1):
        weights = codes(*((4, shape[0]) if turned else (shape[0], 4)))
        yield quantized(op, shape, weights, *WEIGHTS, bias, *OUT, transB=turned)


def _fused_gemm(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 1:
        weights = random_array(1, 4, shape[0])
        yield single(
            op, shape, weights, random_array(2, 4), transB=1, activation="Relu", domain=MICROSOFT
        )


def _fused_product(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    weights = random_array(1, shape[-1], 3)
    given: dict[str, Any] = {"alpha": 0.5, "domain": MICROSOFT}
    yield single(op, shape, weights, **given)
    yield single(op, shape, weights.T, transB=1, **given)
    if len(shape) == 2:
        yield single(op, shape, random_array(2, shape[0], 3), transA=1, **given)
        yield after([], op, shape, reads="x x", transB=1, **given)


def _dynamic_product(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield single(op, shape, codes(shape[-1], 3), *WEIGHTS, domain=MICROSOFT)


def _product_to_float(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    weights = codes(shape[-1], 3)
    yield quantized(
        op, shape, weights, *IN[:1], *WEIGHTS[:1], *IN[1:], *WEIGHTS[1:], reads="q"
    )  # fmt: skip


def _recurrent(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 2:
        hidden = 3
        parts = [codes(1, shape[1], 4 * hidden), codes(1, hidden, 4 * hidden)]
        held = {"w": parts[0], "r": parts[1], "ws": np.array([0.01], np.float32)}
        held["wz"] = np.zeros(1, np.int8)
        first = [node("Transpose", ["x"], ["t"], perm=[1, 0, 2])]
        then = [node("Transpose", ["made"], ["o"], perm=[2, 0, 1, 3])]
        # Nothing stands for what is left out.
        made = after(
            first, op, shape, reads="t w r gone gone gone gone gone ws wz ws wz", then=then,
            held=held, domain=MICROSOFT, hidden_size=hidden,
        )  # fmt: skip
        read = made.graph.node[1].input
        read[:] = ["" if name == "gone" else name for name in read]
        yield made


def _skip(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) == 2:
        first = [node("Neg", ["x"], ["n"]), node("Tanh", ["n"], ["other"])]
        yield after(
            first, op, shape, np.abs(random_array(1, shape[-1])), reads="x other", domain=MICROSOFT
        )


def _quantize(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield single(op, shape, *IN, domain=MICROSOFT)


def _dequantize(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    yield quantized(op, shape)


def _pad(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    pads = [0] * len(shape) + [1]
    yield single(op, shape, np.array([*pads, *pads]), domain=MICROSOFT)


def _triangle(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    if len(shape) > 1:
        yield single(op, shape, domain=MICROSOFT)


def _gelu(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
    constants = [random_array(1, shape[-1])] if op == "BiasGelu" else []
    yield single(op, shape, *constants, domain=MICROSOFT)


def _untyped(build: Builder) -> Builder:
    """Leave the type of the output to ONNX Runtime: ONNX's inference does not know it."""

    def built(op: str, shape: Shape) -> Iterator[onnx.ModelProto]:
        for model in build(op, shape):
            model.graph.output[0].ClearField("type")
            yield model

    return built


_BUILDERS: dict[str, Builder] = {
    **{f"{name}Gelu": _gelu for name in ("", "Bias", "Fast", "Quick")},
    **{f"QLinear{name}": _by_codes for name in ("LeakyRelu", "Sigmoid")},
    **{f"QLinear{name}": _with_codes for name in ("Add", "Mul")},
    **{f"Skip{name}LayerNormalization": _skip for name in ("", "Simplified")},
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLSTM": _recurrent,
    "DynamicQuantizeMatMul": _dynamic_product,
    "FusedConv": _fused_convolution,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_product,
    "MatMulIntegerToFloat": _product_to_float,
    "NhwcMaxPool": _pool,
    "Pad": _pad,
    "QGemm": _gemm,
    "QLinearAveragePool": _pool,
    "QLinearConcat": _concat,
    "QLinearConv": _convolution,
    "QLinearGlobalAveragePool": _global_pool,
    "QLinearSoftmax": _softmax,
    "QLinearWhere": _choice,
    "QuantizeLinear": _quantize,
    "Trilu": _triangle,
}
MICROSOFT_BUILDERS = {name: _untyped(builder) for name, builder in _BUILDERS.items()}
"""By name."""
