"""Small ONNX models, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    outputs: Sequence[str],
    constants: Mapping[str, Array] | None = None,
    *,
    opset: int = 13,
    dtype: int = TensorProto.FLOAT,
    name: str = "net",
    listed: bool = False,
) -> onnx.ModelProto:
    """A checked model; `listed` initializers stand among the graph inputs, too."""
    constants = constants or {}
    values = [helper.make_tensor_value_info(key, dtype, shape) for key, shape in inputs.items()]
    if listed:
        values += [
            helper.make_tensor_value_info(
                key, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for key, array in constants.items()
        ]
    graph = helper.make_graph(
        list(nodes),
        name,
        values,
        [onnx.ValueInfoProto(name=output) for output in outputs],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8 if opset < 22 else 10
    inferred = onnx.shape_inference.infer_shapes(model)
    for value in inferred.graph.output:
        if not value.type.HasField("tensor_type"):
            value.type.CopyFrom(helper.make_tensor_type_proto(dtype, None))
    del model.graph.output[:]
    model.graph.output.extend(inferred.graph.output)
    return model


def random_array(seed: int, *shape: int, spread: float = 1.0) -> NDArray[np.float32]:
    """Normally distributed float32 values."""
    values = np.random.default_rng(seed).standard_normal(shape) * spread
    return np.asarray(values, np.float32)


def conv_node(
    name: str, source: str, kernel: str, bias: str | None = None, op: str = "Conv", **given: Any
) -> onnx.NodeProto:
    """A convolution whose output is named after it."""
    inputs = [source, kernel] + ([bias] if bias else [])
    return helper.make_node(op, inputs, [f"{name}:0"], name=name, **given)


def single_conv(
    kernel: Array,
    input_shape: Sequence[int | str | None],
    bias: Array | None = None,
    op: str = "Conv",
    **given: Any,
) -> onnx.ModelProto:
    """Input ``x`` and one convolution ``conv``."""
    constants = {"w": kernel} | ({} if bias is None else {"b": bias})
    node = conv_node("conv", "x", "w", None if bias is None else "b", op, **given)
    return make_model([node], {"x": input_shape}, ["conv:0"], constants)


def conv_net(classes: int = 5, *, logits: bool = False, seed: int = 3) -> onnx.ModelProto:
    """Conv, Relu, MaxPool, Flatten, Gemm and, unless `logits`, Softmax on ``(1, 8, 6)`` inputs."""
    nodes = [
        conv_node("conv", "x", "w", "b", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv:0"], ["relu:0"], name="relu"),
        helper.make_node(
            "MaxPool", ["relu:0"], ["pool:0"], name="pool", kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node("Flatten", ["pool:0"], ["flatten:0"], name="flatten"),
        helper.make_node("Gemm", ["flatten:0", "dw", "db"], ["dense:0"], name="dense"),
    ]
    if not logits:
        nodes.append(helper.make_node("Softmax", ["dense:0"], ["softmax:0"], name="softmax"))
    constants = {
        "w": random_array(seed, 4, 1, 3, 3),
        "b": random_array(seed + 1, 4),
        "dw": random_array(seed + 2, 48, classes),
        "db": random_array(seed + 3, classes),
    }
    output = "dense:0" if logits else "softmax:0"
    return make_model(nodes, {"x": ["batch", 1, 8, 6]}, [output], constants, name="conv_net")
