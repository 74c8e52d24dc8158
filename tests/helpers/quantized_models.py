"""Quantized models: with pairs written by hand as exporters write them, and by ONNX Runtime."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.helpers.models import Array, make_model, random_array

SHAPE = (3, 16, 16)
CLASSES = 10
STYLES = (
    "each operator", "none behind pools", "none before pools", "real sum", "none around moves",
    "none before a reshape",
)  # fmt: skip
"""Where the pairs of `pairs_net` stand."""


def samples(count: int = 8) -> Array:
    return random_array(500, count, *SHAPE)


class _Builder:
    """Nodes and constants of a model, and the pairs between them."""

    def __init__(self, dtype: str, zero: str) -> None:
        limits = np.iinfo(dtype)
        middle = (limits.min + limits.max + 1) // 2
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {
            "least": np.array(limits.min if zero == "least" else middle, dtype),
            "middle": np.array(middle, dtype),
            "zero": np.float32(0),
            "six": np.float32(6),
        }

    def op(self, op_type: str, inputs: str, made: str, **given: Any) -> str:
        node = helper.make_node(op_type, inputs.split(), [made], name=f"{made}_node", **given)
        self.nodes.append(node)
        return made

    def pair(self, value: str, scale: float, zero: str = "least") -> str:
        self.constants[f"{value}_scale"] = np.float32(scale)
        self.op("QuantizeLinear", f"{value} {value}_scale {zero}", f"{value}_codes")
        return self.op("DequantizeLinear", f"{value}_codes {value}_scale {zero}", f"{value}_back")

    def weight(self, name: str, seed: int, *shape: int) -> str:
        real = random_array(seed, *shape, spread=np.prod(shape[1:]) ** -0.5)
        scale = np.abs(real).reshape(len(real), -1).max(1) / 127
        codes = np.round(real / scale.reshape(-1, *[1] * (real.ndim - 1))).astype(np.int8)
        zeros = np.zeros(len(real), np.int8)
        parts = {"codes": codes, "scale": scale.astype(np.float32), "zeros": zeros}
        self.constants |= {f"{name}_{part}": array for part, array in parts.items()}
        read = " ".join(f"{name}_{part}" for part in parts)
        return self.op("DequantizeLinear", read, name, axis=0)

    def conv(self, read: str, made: str, seed: int, read_channels: int, channels: int) -> str:
        weight = self.weight(f"{made}_w", seed, channels, read_channels, 3, 3)
        self.constants[f"{made}_b"] = random_array(seed + 1, channels, spread=0.2)
        return self.op("Conv", f"{read} {weight} {made}_b", made, pads=[1] * 4)


def pairs_net(
    style: str = "each operator", *, dtype: str = "uint8", zero: str = "least", channels: int = 8
) -> onnx.ModelProto:
    """Convolutions with Relu and Clip, a pool, a residual sum and a dense layer, in QDQ form.

    The `zero` point of what a Relu or Clip makes is the ``"least"`` code, so that codes hold
    nothing below 0, or the ``"middle"`` one.
    """
    made = _Builder(dtype, zero)
    op, pair, scale = made.op, made.pair, 0.02
    a = op("Relu", made.conv(pair("x", 0.03, "middle"), "c1", 1, 3, channels), "r1")
    if style != "none before pools":
        a = pair(a, scale)
    a = op("MaxPool", a, "p1", kernel_shape=[2, 2], strides=[2, 2])
    if style != "none behind pools":
        a = pair(a, scale)
    b = op("Clip", f"{made.conv(a, 'c2', 3, channels, channels)} zero six", "r2")
    b = pair(b, 6 / 255 if zero == "least" else 12 / 255)
    c = made.conv(b, "c3", 5, channels, channels)
    c = c if style == "real sum" else pair(c, 0.03, "middle")
    d = pair(op("Relu", op("Add", f"{c} {a}", "add"), "r3"), scale)
    if style == "none around moves":
        d = op("Transpose", op("Transpose", d, "t1", perm=[0, 2, 3, 1]), "t2", perm=[0, 3, 1, 2])
    e = op("Relu", made.conv(d, "c4", 7, channels, channels), "r4")
    if style == "none before a reshape":
        made.constants["flat"] = np.array([0, -1])
        f, width = op("Reshape", f"{e} flat", "f"), channels * 64
    else:
        f, width = op("Flatten", pair(op("GlobalAveragePool", pair(e, scale), "g"), scale), "f"), 0
    weight = made.weight("fc_w", 9, CLASSES, width or channels)
    made.constants["fc_b"] = random_array(10, CLASSES, spread=0.3)
    # No code rounds away what differs before.
    op("Softmax", op("Gemm", f"{pair(f, scale / 4)} {weight} fc_b", "fc", transB=1), "y")
    return make_model(made.nodes, {"x": ["N", *SHAPE]}, ["y"], made.constants)


def residual_net(channels: int = 16) -> onnx.ModelProto:
    """Two residual blocks, two pools side by side and a dense layer, not quantized."""
    made = _Builder("uint8", "least")
    op, shape = made.op, (channels, channels, 3, 3)
    kernels = {
        "w0": (channels, *SHAPE[:1], 3, 3),
        **{f"w{i}{s}": shape for i in "12" for s in "ab"},
    }
    kernels["w9"] = (channels, 2 * channels, 1, 1)
    made.constants = {
        name: random_array(seed, *size, spread=np.prod(size[1:]) ** -0.5 * 1.4)
        for seed, (name, size) in enumerate(kernels.items())
    }
    made.constants |= {"m": random_array(30, channels, CLASSES), "flat": np.array([0, -1])}
    a = op("Relu", op("Conv", "x w0", "c0", pads=[1] * 4), "r0")
    for i in "12":
        b = op("Relu", op("Conv", f"{a} w{i}a", f"c{i}a", pads=[1] * 4), f"r{i}a")
        b = op("Conv", f"{b} w{i}b", f"c{i}b", pads=[1] * 4)
        a = op("Relu", op("Add", f"{b} {a}", f"a{i}"), f"r{i}")
    pools = (op(f"{kind}Pool", a, kind, kernel_shape=[2, 2]) for kind in ("Max", "Average"))
    b = op("Conv", f"{op('Concat', ' '.join(pools), 'both', axis=1)} w9", "c9")
    b = op("Reshape", f"{op('GlobalAveragePool', b, 'g')} flat", "f")
    op("Softmax", op("MatMul", f"{b} m", "logits"), "y")
    return make_model(made.nodes, {"x": ["N", *SHAPE]}, ["y"], made.constants)


def mobile_net() -> onnx.ModelProto:
    """Two inverted residual blocks with Clip, a dense layer whose bias is an Add; not quantized."""
    made = _Builder("uint8", "least")
    op = made.op

    def conv(read: str, name: str, seed: int, *size: int, clip: bool = True, **given: Any) -> str:
        spread = np.prod(size[1:]) ** -0.5 * 1.4
        made.constants[f"{name}_w"] = random_array(seed, *size, spread=spread)
        made.constants[f"{name}_b"] = random_array(seed + 100, size[0], spread=0.1)
        pads = [size[-1] // 2] * 4
        value = op("Conv", f"{read} {name}_w {name}_b", name, pads=pads, **given)
        return op("Clip", f"{value} zero six", f"{name}_act") if clip else value

    a = conv("x", "stem", 1, 16, 3, 3, 3, strides=[2, 2])
    for i in (1, 2):
        b = conv(a, f"expand{i}", 10 * i, 48, 16, 1, 1)
        b = conv(b, f"depthwise{i}", 10 * i + 1, 48, 1, 3, 3, group=48)
        b = conv(b, f"project{i}", 10 * i + 2, 16, 48, 1, 1, clip=False)
        a = op("Add", f"{a} {b}", f"add{i}")
    made.constants |= {"m": random_array(30, 16, CLASSES), "n": random_array(31, CLASSES)}
    made.constants["flat"] = np.array([0, -1])
    g = op("Reshape", f"{op('GlobalAveragePool', a, 'g')} flat", "f")
    op("Softmax", op("Add", f"{op('MatMul', f'{g} m', 'fc')} n", "logits"), "y")
    return make_model(made.nodes, {"x": ["N", *SHAPE]}, ["y"], made.constants)


def quantize(model: onnx.ModelProto, folder: Path, way: str, **how: Any) -> onnx.ModelProto:
    """What ONNX Runtime's own tool makes of a model: ``"QDQ"``, ``"QOperator"`` or ``"dynamic"``.

    `how` holds its arguments; ``activations`` names the element type of the codes.
    """
    from onnxruntime import quantization as tool

    before, after = (str(folder / f"{name}.onnx") for name in ("real", "quantized"))
    onnx.save(model, before)
    logging.disable(logging.WARNING)
    try:
        if way == "dynamic":
            tool.quantize_dynamic(before, after, **how)
        else:
            kind = getattr(tool.QuantType, how.pop("activations", "QUInt8"))
            form = getattr(tool.QuantFormat, way)
            tool.quantize_static(
                before, after, _Readings(), quant_format=form, activation_type=kind, **how
            )
    finally:
        logging.disable(logging.NOTSET)
    return onnx.load(after)


class _Readings:
    """Samples by which the tool finds the range of each value."""

    def __init__(self) -> None:
        self._left = iter([{"x": random_array(900 + seed, 2, *SHAPE)} for seed in range(4)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._left, None)
