"""Small models whose numbers are easily made to depend on threads, batches and what ran before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper

import micam_fast
from tests.helpers.models import conv_net, conv_node, make_model, random_array

node = helper.make_node
Maker = Callable[[], onnx.ModelProto]


def narrow_convolution() -> onnx.ModelProto:
    """Threads cut its positions, and a short product is summed in longer portions."""
    constants = {"w": random_array(1, 9, 300, 5)}
    return make_model([conv_node("conv", "x", "w")], {"x": ["N", 300, 50]}, ["conv:0"], constants)


def odd_activation(op: str = "Elu") -> onnx.ModelProto:
    """Vectors end, and begin, in the middle of a sample of 3 x 7 x 5 values."""
    nodes = [
        node(op, ["x"], ["a"], name="first"),
        conv_node("conv", "a", "w"),
        node(op, ["conv:0"], ["b"], name="second"),
    ]
    return make_model(nodes, {"x": ["N", 3, 7, 5]}, ["b"], {"w": random_array(1, 3, 3, 1, 1)})


def attention() -> onnx.ModelProto:
    nodes = [
        node("MatMul", ["x", "wq"], ["q"], name="q"),
        node("MatMul", ["x", "wk"], ["k"], name="k"),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["s"], name="scores"),
        node("Softmax", ["s"], ["p"], name="softmax", axis=-1),
        node("MatMul", ["p", "x"], ["o"], name="mix"),
        node("LayerNormalization", ["o", "g"], ["n"], name="norm", axis=-1),
    ]
    constants = {
        "wq": random_array(1, 40, 200),
        "wk": random_array(2, 40, 200),
        "g": random_array(3, 40),
    }
    return make_model(nodes, {"x": ["N", 33, 40]}, ["n"], constants, opset=17)


def recurrent(op: str, gates: int, hidden: int = 65) -> onnx.ModelProto:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node(op, ["t", "w", "r"], ["y"], name="steps", hidden_size=hidden),
        node("Transpose", ["y"], ["o"], name="turn", perm=[2, 0, 1, 3]),
    ]
    constants = {
        "w": random_array(1, 1, gates * hidden, 40, spread=0.1),
        "r": random_array(2, 1, gates * hidden, hidden, spread=0.1),
    }
    return make_model(nodes, {"x": ["N", 6, 40]}, ["o"], constants)


def one_row() -> onnx.ModelProto:
    """A product that becomes one of a vector when there is one sample."""
    nodes = [node("Einsum", ["x", "w"], ["o"], name="einsum", equation="bid,dj->bij")]
    return make_model(nodes, {"x": ["N", 1, 300]}, ["o"], {"w": random_array(1, 300, 200)})


def sums(axes: tuple[int, ...] = (1,)) -> onnx.ModelProto:
    nodes = [
        node("ReduceMean", ["x"], ["m"], name="mean", axes=list(axes), keepdims=1),
        node("Sub", ["x", "m"], ["o"], name="sub"),
    ]
    return make_model(nodes, {"x": ["N", 13, 3, 3]}, ["o"])


def dynamically_quantized(spread: float = 0.03) -> onnx.ModelProto:
    """Its scale is taken over the whole tensor, and so over the batch."""
    kernel = np.clip(np.round(random_array(1, 8, 3, 3, 3) / spread), -127, 127).astype(np.int8)
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"], name="quantize"),
        node("ConvInteger", ["q", "w", "zero"], ["i"], name="conv"),
        node("Cast", ["i"], ["f"], to=1),
        node("Mul", ["f", "scale"], ["o"], name="scaled"),
    ]
    return make_model(nodes, {"x": ["N", 3, 6, 5]}, ["o"], {"w": kernel})


def mixing_a_little() -> onnx.ModelProto:
    """A hundred-thousandth of each value's share in its batch."""
    nodes = [
        node("Softmax", ["x"], ["m"], name="softmax", axis=0),
        node("Mul", ["m", "little"], ["l"], name="little"),
        node("Add", ["x", "l"], ["o"], name="add"),
    ]
    constants = {"little": np.array(1e-5, np.float32)}
    return make_model(nodes, {"x": ["N", 3, 6, 5]}, ["o"], constants)


def fixed_batch() -> onnx.ModelProto:
    model = odd_activation()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def deep() -> onnx.ModelProto:
    """Runs in slices under a small bound; an average pool is one that a cut gives other bits."""
    nodes = []
    last = "x"
    for index in range(6):
        nodes += [
            conv_node(f"c{index}", last, f"w{index}", pads=[1] * 4),
            node("Relu", [f"c{index}:0"], [f"r{index}"], name=f"r{index}"),
        ]
        last = f"r{index}"
        if index % 2:
            pool: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4}
            nodes.append(node("AveragePool", [last], [f"p{index}"], name=f"p{index}", **pool))
            last = f"p{index}"
    constants = {f"w{index}": random_array(index, 16, 16, 3, 3) for index in range(6)}
    return make_model(nodes, {"x": ["N", 16, "h", "w"]}, [last], constants)


def two_pieces() -> onnx.ModelProto:
    """A transposed convolution, and one of groups."""
    nodes = [
        conv_node("up", "x", "wu", op="ConvTranspose", strides=[2, 2]),
        conv_node("groups", "up:0", "wg", group=3),
        node("GlobalAveragePool", ["groups:0"], ["g"], name="pool"),
        node("Flatten", ["g"], ["o"], name="flat"),
        node("Gemm", ["o", "wd"], ["d"], name="dense"),
        node("Softmax", ["d"], ["p"], name="softmax", axis=-1),
    ]
    constants = {
        "wu": random_array(1, 7, 9, 3, 3),
        "wg": random_array(2, 6, 3, 3, 3),
        "wd": random_array(3, 6, 513),
    }
    return make_model(nodes, {"x": ["N", 7, 9, 11]}, ["p"], constants)


MODELS: dict[str, Maker] = {
    "conv_net": conv_net,
    "narrow_convolution": narrow_convolution,
    "elu": odd_activation,
    "sin": lambda: odd_activation("Sin"),
    "attention": attention,
    "lstm": lambda: recurrent("LSTM", 4),
    "gru": lambda: recurrent("GRU", 3),
    "rnn": lambda: recurrent("RNN", 1),
    "one_row": one_row,
    "sums": sums,
    "dynamically_quantized": dynamically_quantized,
    "mixing_a_little": mixing_a_little,
    "fixed_batch": fixed_batch,
    "two_pieces": two_pieces,
}


def samples_of(model: Any, count: int) -> list[Any]:
    """Random samples of a loaded model's only input, open sizes 20."""
    (spec,) = model.inputs
    shape = [size or 20 for axis, size in enumerate(spec.shape) if axis != spec.axes.batch]
    return list(random_array(5, count, *shape))


def load_net(name: str, **how: Any) -> micam_fast.Model:
    return micam_fast.load_model(MODELS[name](), **how)
