"""Networks, maps and nodes for posters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper as h, numpy_helper as nh

import micam_fast
from micam_fast._loops.colours import colour_maps
from micam_fast.analyses.differences import Difference, diff
from micam_fast.api.explanation import Explanation
from micam_fast.core.layers import Layer
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Drawing, Text
from micam_fast.diagrams.nodes import Node, draw_nodes
from micam_fast.diagrams.poster.palette import SMALL
from micam_fast.maps.layer_map import LayerMap


def residual_model(blocks: int, seed: int = 0, size: int = 16) -> onnx.ModelProto:
    """A network of residual blocks (Conv, Relu, Conv, Add, Relu) of 4 channels, and a dense head.

    Every second block halves the size, its shortcut is a convolution.
    """
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def conv(source: str, name: str, kernel: int, stride: int) -> str:
        weight = rng.normal(0, 0.5, (4, 1 if source == "image" else 4, kernel, kernel))
        weights.append(nh.from_array(weight.astype(np.float32), f"{name}.w"))
        bias = rng.normal(0, 0.2, 4).astype(np.float32)
        weights.append(nh.from_array(bias, f"{name}.b"))
        nodes.append(
            h.make_node(
                "Conv", [source, f"{name}.w", f"{name}.b"], [name], name=name,
                pads=[kernel // 2] * 4, strides=[stride] * 2,
            )
        )  # fmt: skip
        return name

    def simple(op: str, name: str, *inputs: str) -> str:
        nodes.append(h.make_node(op, list(inputs), [name], name=name))
        return name

    value = simple("Relu", "stem_relu", conv("image", "stem_conv", 3, 1))
    for number in range(blocks):
        stride = 2 if number % 2 and number < 5 else 1
        first = simple("Relu", f"relu{number}a", conv(value, f"conv{number}a", 3, stride))
        second = conv(first, f"conv{number}b", 3, 1)
        around = conv(value, f"short{number}", 1, stride) if stride == 2 else value
        total = simple("Add", f"add{number}", second, around)
        value = simple("Relu", f"relu{number}b", total)
    pooled = simple("GlobalAveragePool", "pool", value)
    flat = simple("Flatten", "flat", pooled)
    weights.append(nh.from_array(rng.normal(0, 1, (4, 3)).astype(np.float32), "dense.w"))
    nodes.append(h.make_node("MatMul", [flat, "dense.w"], ["dense"], name="dense"))
    simple("Softmax", "probabilities", "dense")
    graph = h.make_graph(
        nodes, "residual",
        [h.make_tensor_value_info("image", 1, [None, 1, size, size])],
        [h.make_tensor_value_info("probabilities", 1, [None, 3])],
        weights,
    )  # fmt: skip
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def residual_explanation(blocks: int, seed: int = 0) -> Explanation:
    """An explanation of a random sample by `residual_model`."""
    model = micam_fast.load_model(residual_model(blocks, seed))
    return model.explain(np.random.default_rng(seed + 1).random((1, 16, 16), np.float32))


def chain_nodes(count: int, op_type: str = "Relu") -> tuple[Node, ...]:
    """A chain of layers of one operator."""
    layers = [
        Layer(f"l{n}", op_type, op_type, () if n == 0 else (f"l{n - 1}",)) for n in range(count)
    ]
    return draw_nodes(layers, [layer.name for layer in layers])


def layer_map(cam: NDArray[np.floating], *, flat: bool = False) -> LayerMap:
    """A map with the colours that it has alone."""
    values = np.ascontiguousarray(cam, np.float32)
    low, high = float(values.min()), float(values.max())
    rgba = np.empty((values.size, 4), np.uint8)
    slots = np.array([[0, values.size]], np.int64)
    colour_maps(slots, values.reshape(-1), np.array([[low, high]]), min(0, low), max(0, high), rgba)
    shape = values.shape
    return LayerMap(
        values, rgba.reshape(*shape, 4), low, high, (low, high), (None, 1, *shape), flat=flat
    )


def maps_of(nodes: Sequence[Node], sizes: Sequence[tuple[int, int]]) -> Mapping[str, LayerMap]:
    """A random map for each node."""
    rng = np.random.default_rng(7)
    return {n.key: layer_map(rng.normal(size=s)) for n, s in zip(nodes, sizes, strict=True)}


def residual_difference(blocks: int, *, models: bool = False) -> Difference:
    """Two random samples by one `residual_model`, or one sample by two of its weights."""
    first = micam_fast.load_model(residual_model(blocks))
    second = micam_fast.load_model(residual_model(blocks, 1)) if models else first
    one, other = np.random.default_rng(2).random((2, 1, 16, 16), np.float32)
    return diff(first.explain(one), second.explain(one if models else other))


def check_texts(drawing: Drawing) -> None:
    """All words are legible, on the page, and none lies upon another."""
    texts = [mark for mark in drawing.marks if isinstance(mark, Text)]
    assert min(text.size for text in texts) >= SMALL
    boxes = []
    for text in texts:
        width = text_width(text.text, text.size)
        assert text.x >= 0
        assert text.x + width <= drawing.width
        assert text.size <= text.y <= drawing.height
        boxes.append((text.x, text.y - 0.62 * text.size, text.x + width, text.y, text.text))
    boxes.sort(key=lambda box: box[1])
    for one, other in itertools.combinations(boxes, 2):
        across = one[0] < other[2] - 0.3 and other[0] < one[2] - 0.3
        down = one[1] < other[3] - 0.3 and other[1] < one[3] - 0.3
        assert not (across and down), (one, other)
