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
    inputs: Mapping[str, Sequence[Any]],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
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
        [numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()],
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


def module_net(*, seed: int = 3) -> onnx.ModelProto:
    """``stem``, modules ``body.0`` and ``body.1`` of Conv, Relu and Add each, and ``head``."""
    nodes, source = [], "x"
    for place in ("stem", "body.0", "body.1", "head"):
        path = "/body" * ("." in place) + f"/{place}"
        if "." not in place:
            nodes.append(conv_node(f"{path}/Conv", source, "w", "b", pads=[1, 1, 1, 1]))
        else:
            conv, relu = f"{path}/conv/Conv", f"{path}/act/Relu"
            nodes += [
                conv_node(conv, source, "w", "b", pads=[1, 1, 1, 1]),
                helper.make_node("Relu", [f"{conv}:0"], [f"{relu}:0"], name=relu),
                helper.make_node("Add", [source, f"{relu}:0"], [f"{path}:0"], name=f"{path}/Add"),
            ]
        source = nodes[-1].output[0]
    constants = {"w": random_array(seed, 4, 4, 3, 3), "b": random_array(seed + 1, 4)}
    return make_model(nodes, {"x": ["batch", 4, 8, 6]}, [source], constants, name="module_net")


# --- models of the input and command-line tests (samples, batch, cli) ---


def open_net(*, seed: int = 3) -> onnx.ModelProto:
    """`conv_net` whose height and width are open, though only 8 x 6 gets past its Gemm."""
    model = conv_net(seed=seed)
    for axis in (2, 3):
        dimension = model.graph.input[0].type.tensor_type.shape.dim[axis]
        dimension.Clear()
        dimension.dim_param = f"size{axis}"
    del model.graph.value_info[:]
    return model


def rgb_net(*, seed: int = 5) -> onnx.ModelProto:
    """Conv, GlobalAveragePool, Flatten, Softmax on ``(3, 8, 6)`` inputs."""
    nodes = [
        conv_node("conv", "x", "w", "b"),
        helper.make_node("GlobalAveragePool", ["conv:0"], ["pool:0"], name="pool"),
        helper.make_node("Flatten", ["pool:0"], ["flatten:0"], name="flatten"),
        helper.make_node("Softmax", ["flatten:0"], ["softmax:0"], name="softmax"),
    ]
    constants = {"w": random_array(seed, 4, 3, 3, 3), "b": random_array(seed + 1, 4)}
    return make_model(nodes, {"x": ["batch", 3, 8, 6]}, ["softmax:0"], constants, name="rgb_net")


def two_input_net(*, seed: int = 7) -> onnx.ModelProto:
    """A Conv of ``image (1, 8, 6)`` and one of ``depth (2, 8, 6)``, added, pooled, Softmax."""
    nodes = [
        conv_node("conv_image", "image", "w1"),
        conv_node("conv_depth", "depth", "w2"),
        helper.make_node("Add", ["conv_image:0", "conv_depth:0"], ["add:0"], name="add"),
        helper.make_node("GlobalAveragePool", ["add:0"], ["pool:0"], name="pool"),
        helper.make_node("Flatten", ["pool:0"], ["flatten:0"], name="flatten"),
        helper.make_node("Softmax", ["flatten:0"], ["softmax:0"], name="softmax"),
    ]
    constants = {"w1": random_array(seed, 3, 1, 3, 3), "w2": random_array(seed + 1, 3, 2, 3, 3)}
    shapes: dict[str, list[int | str | None]] = {
        "image": ["batch", 1, 8, 6],
        "depth": ["batch", 2, 8, 6],
    }
    return make_model(nodes, shapes, ["softmax:0"], constants, name="two_input_net")


def image_to_image_net(*, seed: int = 11) -> onnx.ModelProto:
    """A Conv that keeps ``(1, 8, 6)``, so that the output is no class vector."""
    nodes = [conv_node("conv", "x", "w", pads=[1, 1, 1, 1])]
    constants = {"w": random_array(seed, 1, 1, 3, 3)}
    return make_model(nodes, {"x": ["batch", 1, 8, 6]}, ["conv:0"], constants, name="image_net")


def unknown_operator_net() -> onnx.ModelProto:
    """A model with an operator ``Frobnicate`` that nobody knows."""
    node = helper.make_node("Frobnicate", ["x"], ["y"], name="strange")
    graph = helper.make_graph(
        [node],
        "strange",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1, 8, 6])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def gather_net(*, seed: int = 13) -> onnx.ModelProto:
    """Four int64 indices from 0 to 9 of rows of a table, then a 1-D Conv, a pool and Softmax."""
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["rows:0"], name="rows"),
        helper.make_node("Transpose", ["rows:0"], ["turned"], perm=[0, 2, 1], name="turn"),
        conv_node("conv", "turned", "w"),
        helper.make_node("GlobalAveragePool", ["conv:0"], ["pool:0"], name="pool"),
        helper.make_node("Flatten", ["pool:0"], ["flatten:0"], name="flatten"),
        helper.make_node("Softmax", ["flatten:0"], ["softmax:0"], name="softmax"),
    ]
    constants = {"table": random_array(seed, 10, 3), "w": random_array(seed + 1, 4, 3, 2)}
    return make_model(
        nodes, {"x": ["batch", 4]}, ["softmax:0"], constants, dtype=TensorProto.INT64, name="gather"
    )


def loop_body(*steps: onnx.NodeProto) -> onnx.GraphProto:
    """Body of a Loop whose `steps` make ``next`` of ``state``; it goes on as long as it is told."""
    values = helper.make_tensor_value_info
    return helper.make_graph(
        [*steps, helper.make_node("Identity", ["going"], ["still"])],
        "body",
        [
            values("i", TensorProto.INT64, []),
            values("going", TensorProto.BOOL, []),
            values("state", TensorProto.FLOAT, None),
        ],
        [values("still", TensorProto.BOOL, []), values("next", TensorProto.FLOAT, None)],
    )


def if_branches(captured: str) -> dict[str, Any]:
    """Branches of an If: the negative of a captured value, or its absolute value."""
    made = {
        op: helper.make_graph(
            [helper.make_node(op, [captured], [f"{op}_out"])],
            op,
            [],
            [helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, None)],
        )
        for op in ("Neg", "Abs")
    }
    return {"then_branch": made["Neg"], "else_branch": made["Abs"]}


def centred() -> onnx.ModelProto:
    """Subtracts the mean over the batch."""
    nodes = [
        conv_node("conv", "x", "w"),
        helper.make_node("ReduceMean", ["conv:0"], ["m"], name="mean", axes=[0], keepdims=1),
        helper.make_node("Sub", ["conv:0", "m"], ["o"], name="sub"),
    ]
    return make_model(nodes, {"x": ["N", 3, 6, 5]}, ["o"], {"w": random_array(0, 4, 3, 3, 3)})


def folded_net() -> onnx.ModelProto:
    """A convolution whose kernel PyTorch's tracing exporter has computed."""
    nodes = [conv_node("/conv/Conv", "x", "onnx::Conv_9", "onnx::Conv_10", pads=[1] * 4)]
    constants = {"onnx::Conv_9": random_array(1, 3, 2, 3, 3), "onnx::Conv_10": random_array(2, 3)}
    proto = make_model(nodes, {"x": [None, 2, 6, 6]}, ["/conv/Conv:0"], constants, name="folded")
    proto.producer_name = "pytorch"
    return proto
