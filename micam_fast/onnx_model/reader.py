"""Layers of an ONNX graph: what a person would call one, its name, its kernel, its edges."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.errors import ModelError
from micam_fast.layers import Axes, Geometry, Layer, ModelInput, Shape, Tap
from micam_fast.onnx_model.axes import RECURRENT_OPS, infer_axes, layout_moves, permutation
from micam_fast.onnx_model.files import OnnxFile
from micam_fast.onnx_model.graph import Graph, Kind, attributes

# Bookkeeping between layers: the numbers are the same before and after, but for rounding.
_SEEN_THROUGH = {
    "Cast", "CastLike", "DequantizeLinear", "DynamicQuantizeLinear", "Identity",
    "OptionalGetElement", "QuantizeLinear", "Squeeze", "Unsqueeze",
}  # fmt: skip
# What may stand between a convolution and the Add of its bias.
_BEFORE_BIAS = {"Identity", "Squeeze", "Transpose", "Unsqueeze"}
_MEASURES = {"Shape", "Size"}

# Positions of the kernel and the bias among the inputs.
_CONVOLUTIONS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "ConvInteger": (1, None),
    "QLinearConv": (3, 8),
}
_DENSE = {"Gemm": (1, 2), "MatMul": (1, None)}


@dataclass(frozen=True, eq=False)
class _Weights:
    """Names of a layer's constant kernel and bias; ``scale`` and ``zero`` of a quantized kernel."""

    kernel: str
    bias: str | None
    scale: str | None = None
    zero: str | None = None


@dataclass(frozen=True, eq=False)
class ModelGraph:
    """The layers of a model, in the diagram's order, and where their activations are.

    Attributes
    ----------
    layers
        Graph inputs first, then the operators in topological order.
    taps
        By layer name.
    inputs
        Names, shapes and axes of the values that a caller feeds.
    prediction
        The ONNX value of the model's first output.
    last_op
        The operator that makes the first output, bookkeeping seen through.
    """

    layers: tuple[Layer, ...]
    taps: dict[str, Tap]
    inputs: tuple[ModelInput, ...]
    prediction: str
    last_op: str
    graph: Graph
    _weights: dict[str, _Weights]

    def weights(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Kernel, in ONNX order, and bias ``(C,)`` of a convolution with a constant kernel."""
        found = self._weights[name]
        kernel = self.graph.array(found.kernel)
        if found.zero is not None or found.scale is not None:
            kernel = kernel.astype(np.float32)
            column = (-1,) + (1,) * (kernel.ndim - 1)
            if found.zero is not None:
                kernel = kernel - self.graph.array(found.zero).astype(np.float32).reshape(column)
            if found.scale is not None:
                kernel = kernel * self.graph.array(found.scale).reshape(column)
        bias = None if found.bias is None else self.graph.array(found.bias).reshape(-1)
        if bias is not None:
            channels = self.layer(name).bias_shape
            bias = np.broadcast_to(bias, channels or bias.shape)
        return kernel, bias

    def layer(self, name: str) -> Layer:
        """The layer of this name."""
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}


def read_layers(model: OnnxFile) -> ModelGraph:
    """Find the layers of a model, with their kernels, edges, axes and names.

    A recurrent layer whose ``Y`` the model does not use gets a name for it in ``model.proto``, so
    that its activation can be fetched.

    Raises
    ------
    ModelError
        If the graph is broken, or holds no layer.
    """
    _name_unused_outputs(model.proto.graph)
    return _Reader(model).read()


def _name_unused_outputs(graph: onnx.GraphProto) -> None:
    for index, node in enumerate(graph.node):
        if node.output and not node.output[0]:
            node.output[0] = f"micam/{node.name or index}/first"


class _Reader:
    def __init__(self, model: OnnxFile) -> None:
        self.model = model
        self.graph = Graph(model)
        self.axes = infer_axes(self.graph)
        self.live = self.graph.live_nodes()
        # The layer that stands for a value, and the nodes that its bias Add swallows.
        self.owner: dict[str, str] = {}
        self.swallowed: set[int] = set()

    def read(self) -> ModelGraph:
        names = self._names()
        layers: list[Layer] = []
        taps: dict[str, Tap] = {}
        weights: dict[str, _Weights] = {}
        inputs = tuple(self._read_inputs())
        for each in inputs:
            shape = _with_open_batch(each.shape, each.axes)
            layers.append(Layer(each.name, "Input", "Input", (), (shape,) if shape else (), shape))
            taps[each.name] = Tap(each.name, each.axes)
            self.owner[each.name] = each.name
        for index, node in enumerate(self.graph.nodes):
            if not self._is_layer(index, node):
                continue
            name = names[index]
            layer, tap, found = self._read_node(index, node, name)
            layers.append(layer)
            taps[name] = tap
            if found is not None:
                weights[name] = found
            for output in node.output:
                self.owner[output] = name
            self.owner[tap.value] = name
        if len(layers) == len(inputs):
            raise ModelError(f"model {self.model.name!r} holds no layer between input and output")
        first = self.graph.outputs[0]
        return ModelGraph(
            tuple(layers), taps, inputs, first, self._maker(first), self.graph, weights
        )

    def _read_inputs(self) -> Iterator[ModelInput]:
        for value in self.graph.inputs:
            if not value.type.HasField("tensor_type"):
                raise ModelError(
                    f"model {self.model.name!r}: input {value.name!r} is no tensor; micam-fast "
                    "feeds arrays only"
                )
            shape = self.graph.shape(value.name)
            if shape is None:
                raise ModelError(
                    f"model {self.model.name!r}: input {value.name!r} has no rank; give it a shape "
                    "(sizes may stay symbolic) when exporting the model"
                )
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            yield ModelInput(value.name, shape, self._axes_of_input(value.name, shape), str(dtype))

    def _axes_of_input(self, name: str, shape: Shape) -> Axes:
        if name not in self.axes and len(shape) == 4:
            colours = (1, 3, 4)
            if shape[3] in colours and shape[1] not in colours:
                return Axes(0, 3)
        return self._axes_of(name)

    def _axes_of(self, name: str) -> Axes:
        shape = self.graph.shape(name)
        found = self.axes.get(name, Axes(0, None))
        return found if shape is None else found.completed(len(shape))

    def _names(self) -> dict[int, str]:
        """Names by SPEC: the node's, or its first output's where that is empty or not unique."""
        used = Counter(node.name for node in self.graph.nodes)
        used.update(value.name for value in self.graph.inputs)
        taken = {value.name for value in self.graph.inputs}
        names: dict[int, str] = {}
        for index, node in enumerate(self.graph.nodes):
            if not self._is_layer(index, node):
                continue
            name = node.name if node.name and used[node.name] == 1 else node.output[0]
            base, count = name, 1
            while name in taken:
                count += 1
                name = f"{base}#{count}"
            taken.add(name)
            names[index] = name
        return names

    def _is_layer(self, index: int, node: onnx.NodeProto) -> bool:
        if index not in self.live or index in self.swallowed or node.op_type in _SEEN_THROUGH:
            return False
        if self._only_moves_layout(node):
            return False
        return self.graph.is_tensor(node.output[0])

    def _only_moves_layout(self, node: onnx.NodeProto) -> bool:
        perm = permutation(self.graph, node)
        if perm is None or len(perm) <= 3:
            return node.op_type == "Transpose"
        return perm in layout_moves(len(perm))

    def _read_node(
        self, index: int, node: onnx.NodeProto, name: str
    ) -> tuple[Layer, Tap, _Weights | None]:
        value = node.output[0]
        kernel, bias = self._kernel_and_bias(node)
        bias_shape = None if bias is None else self.graph.constant_shape(bias)
        channels = _bias_size(self.graph, node, kernel) if kernel else None
        if bias is None and node.op_type in {*_CONVOLUTIONS, *_DENSE}:
            merged = self._following_bias(node, channels)
            if merged is not None:
                value, bias, nodes = merged
                self.swallowed.update(nodes)
        if bias is not None and channels is not None and node.op_type not in RECURRENT_OPS:
            bias_shape = (channels,)
        shape = self.graph.shape(value)
        axes = self._axes_of(value)
        layer = Layer(
            name=name,
            op_type=node.op_type,
            class_label=node.op_type,
            inputs=self._parents(node),
            input_shapes=tuple(
                _with_open_batch(self.graph.shape(read), self._axes_of(read))
                for read in dict.fromkeys(self.graph.activations(node))
            ),
            output_shape=_with_open_batch(shape, axes),
            kernel_shape=None if kernel is None else self.graph.constant_shape(kernel),
            bias_shape=bias_shape,
        )
        form: Literal["channels", "recurrent", "flat"] = "channels"
        if node.op_type in RECURRENT_OPS:
            form = "recurrent"
        elif node.op_type.startswith("Global") or node.op_type in {"Flatten", "Gemm"}:
            form = "flat"
        tap = Tap(value, axes, form)
        if kernel is None or node.op_type not in _CONVOLUTIONS:
            return layer, tap, None
        assert layer.kernel_shape is not None
        geometry = _geometry(node, len(layer.kernel_shape) - 2)
        source = next(read for read in node.input if self.graph.kind[read] is Kind.ACTIVATION)
        tap = replace(tap, geometry=geometry, source=source)
        return layer, tap, self._quantization(node, _Weights(kernel, bias))

    def _kernel_and_bias(self, node: onnx.NodeProto) -> tuple[str | None, str | None]:
        """Names of the constant kernel and bias among the node's own inputs."""
        positions: tuple[int, int | None] | None
        if node.op_type in RECURRENT_OPS:
            positions = (1, 3)
        else:
            positions = _CONVOLUTIONS.get(node.op_type) or _DENSE.get(node.op_type)
        if positions is None:
            return None, None
        kernel = _input(node, positions[0])
        if node.op_type == "MatMul" and not self.graph.is_constant(kernel):
            kernel = node.input[0]
        bias = _input(node, positions[1])
        return (
            kernel if self.graph.is_known(kernel) else None,
            bias if self.graph.is_known(bias) else None,
        )

    def _quantization(self, node: onnx.NodeProto, found: _Weights) -> _Weights:
        if node.op_type == "QLinearConv":
            return replace(found, scale=node.input[4], zero=node.input[5])
        if node.op_type == "ConvInteger" and _input(node, 3):
            return replace(found, zero=node.input[3])
        return found

    def _following_bias(
        self, node: onnx.NodeProto, channels: int | None
    ) -> tuple[str, str, list[int]] | None:
        """Output and constant of an Add that alone consumes the node's output, with its nodes."""
        if (
            len(node.input) > 2
            and node.op_type in ("Conv", "ConvTranspose", "Gemm")
            and node.input[2]
        ):
            return None
        value = node.output[0]
        nodes: list[int] = []
        while value not in self.graph.outputs and len(self.graph.consumers[value]) == 1:
            index = self.graph.consumers[value][0]
            follower = self.graph.nodes[index]
            if value not in follower.input or index not in self.live:
                return None
            nodes.append(index)
            if follower.op_type == "Add":
                other = follower.input[1] if follower.input[0] == value else follower.input[0]
                if self.graph.is_known(other) and self._is_per_channel(other, value, channels):
                    return follower.output[0], other, nodes
                return None
            if follower.op_type not in _BEFORE_BIAS:
                return None
            value = follower.output[0]
        return None

    def _is_per_channel(self, constant: str, value: str, channels: int | None) -> bool:
        """Tell whether a constant adds one value per channel to an activation."""
        sizes = self.graph.constant_shape(constant)
        known = self.graph.shape(value)
        axes = self._axes_of(value)
        if known is None or len(known) < 3 or axes.channel is None:
            # Two-dimensional, or a MatMul of unknown rank: its channels are last.
            if len(sizes) == 0:
                return True
            return all(size == 1 for size in sizes[:-1]) and sizes[-1] in (1, channels or sizes[-1])
        if len(sizes) > len(known):
            return False
        sizes = (1,) * (len(known) - len(sizes)) + sizes
        return all(
            size == 1 or (axis == axes.channel and size == (channels or size))
            for axis, size in enumerate(sizes)
        )

    def _parents(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """Layers whose activations the node reads, bookkeeping seen through."""
        found: dict[str, None] = {}
        waiting = self.graph.activations(node)[::-1]
        seen = set(waiting)
        while waiting:
            value = waiting.pop()
            if value in self.owner:
                found[self.owner[value]] = None
                continue
            maker = self.graph.nodes[self.graph.producer[value]]
            fresh = [read for read in self.graph.activations(maker)[::-1] if read not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        return tuple(found)

    def _maker(self, value: str) -> str:
        while value in self.graph.producer:
            node = self.graph.nodes[self.graph.producer[value]]
            if node.op_type not in {*_SEEN_THROUGH, "Transpose", "Reshape", "Flatten"}:
                return node.op_type
            value = node.input[0]
        return "Input"


def _input(node: onnx.NodeProto, position: int | None) -> str:
    return "" if position is None or position >= len(node.input) else node.input[position]


def _with_open_batch(shape: Shape | None, axes: Axes) -> Shape | None:
    if shape is None:
        return None
    return tuple(None if axis == axes.batch else size for axis, size in enumerate(shape))


def _bias_size(graph: Graph, node: onnx.NodeProto, kernel: str) -> int:
    """Number of output channels, which is the bias's size."""
    shape = graph.constant_shape(kernel)
    if node.op_type == "ConvTranspose":
        return shape[1] * int(attributes(node).get("group", 1))
    if node.op_type == "Gemm":
        return shape[0] if attributes(node).get("transB", 0) else shape[1]
    if node.op_type == "MatMul":
        return shape[-1]
    return shape[0]


def _geometry(node: onnx.NodeProto, rank: int) -> Geometry:
    given = attributes(node)
    auto_pad = given.get("auto_pad", b"NOTSET").decode() or "NOTSET"
    return Geometry(
        transpose=node.op_type == "ConvTranspose",
        strides=tuple(given.get("strides", [1] * rank)),
        dilations=tuple(given.get("dilations", [1] * rank)),
        pads=tuple(given.get("pads", [0] * (2 * rank))),
        groups=int(given.get("group", 1)),
        auto_pad=auto_pad,
        output_padding=tuple(given.get("output_padding", [0] * rank)),
        output_shape=tuple(given.get("output_shape", ())),
    )
