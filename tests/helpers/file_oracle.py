"""What SPEC says of a file that was made elsewhere: plain ONNX Runtime and `reference`'s formulas.

It knows the file and where the channels of a value lie, and imports nothing of micam-fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.helpers import reference
from tests.helpers.measured_axes import Axes
from tests.helpers.models import Array
from tests.helpers.plain_runtime import run

Float64 = NDArray[np.float64]
CONVOLUTIONS = ("Conv", "ConvTranspose")
DENSE = ("MatMul", "Gemm")
RECURRENT = ("LSTM", "GRU", "RNN")
ALWAYS_LAYERS = {
    *CONVOLUTIONS, *DENSE, *RECURRENT, "AveragePool", "BatchNormalization", "Clip", "Concat",
    "GlobalAveragePool", "HardSigmoid", "LayerNormalization", "LogSoftmax", "MaxPool", "PRelu",
    "Relu", "Resize", "Sigmoid", "Softmax", "Tanh",
}  # fmt: skip
"""Operators that a person calls layers wherever they read the sample."""


@dataclass(frozen=True)
class FileLayer:
    """A layer by a plain reading of the file.

    Attributes
    ----------
    node
        The operator, of a convolution or a dense layer the one with the kernel.
    value
        Its activation, behind the Add of a bias.
    biases
        Constants that are added to each channel.
    """

    node: onnx.NodeProto
    value: str
    biases: tuple[str, ...] = ()


class FileOracle:
    """The layers of a file, the values of one sample, and its maps.

    Attributes
    ----------
    values
        All values of the untouched file, constants too.
    fixed
        Names of those that do not depend on the sample.
    """

    def __init__(self, model: onnx.ModelProto, sample: Array, *, optimized: bool = False) -> None:
        self.model = model
        held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.input = next(v.name for v in model.graph.input if v.name not in held)
        made = [name for node in model.graph.node for name in node.output if name]
        feeds = {self.input: sample[np.newaxis]}
        found = run(model, feeds, *made, optimized=optimized)
        self.values: dict[str, Any] = held | feeds | dict(zip(made, found, strict=True))
        self.fixed = set(held)
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            whole = not any(each.HasField("g") for each in node.attribute)
            if node.op_type in ("Shape", "Size") or (
                whole and all(name in self.fixed for name in node.input if name)
            ):
                self.fixed.update(node.output)
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._size = (1, *(n for n in sample.shape if n > 4))[-2:]
        self.layers = self._read_layers()

    def _read_layers(self) -> dict[str, FileLayer]:
        """By the names that a layer may bear: the operator's, else that of its first output."""
        nodes = [node for node in self.model.graph.node if node.output[0] not in self.fixed]
        found = [layer for node in nodes for layer in self._shown(node).items()]
        by_output = {f"{layer.node.output[0]}{place}": layer for place, layer in found}
        named = {f"{layer.node.name}{place}": layer for place, layer in found if layer.node.name}
        return by_output | named

    def _shown(self, node: onnx.NodeProto) -> dict[str, FileLayer]:
        """The layers of a node's outputs that are read, by what stands behind the name."""
        read = [place for place, name in enumerate(node.output) if self._readers.get(name)]
        if len(node.output) == 1 or not read:
            return {"": self._with_bias(node)}
        return {
            f":{place}" if place != read[0] else "": FileLayer(node, node.output[place])
            for place in read
        }

    def _with_bias(self, node: onnx.NodeProto) -> FileLayer:
        value = node.output[0]
        if node.op_type not in CONVOLUTIONS + DENSE or node.input[1] not in self.fixed:
            return FileLayer(node, value)
        biases = tuple(name for name in node.input[2:] if name in self.fixed)
        readers = self._readers.get(value, [])
        if len(readers) == 1 and readers[0].op_type == "Add" and not biases:
            (other,) = [name for name in readers[0].input if name != value] or [value]
            if other in self.fixed and self._is_bias(node, other):
                return FileLayer(node, readers[0].output[0], (other,))
        return FileLayer(node, value, biases)

    def _is_bias(self, node: onnx.NodeProto, name: str) -> bool:
        """Whether a constant has one number for each channel of what the node makes."""
        channel = 1 if node.op_type in CONVOLUTIONS else -1
        made, added = self.values[node.output[0]], self.values[name]
        if added.size == 1:
            return True
        shape = [1] * made.ndim
        shape[channel] = made.shape[channel]
        padded = (1,) * (made.ndim - added.ndim) + added.shape
        return list(padded) == shape

    def expected(self, layer: FileLayer, axes: Axes) -> tuple[Float64, float]:
        """The layer's map, and how far rounding may move its numbers."""
        batch, channel = axes
        activation = self.values[layer.value].astype(np.float64)
        if batch is None:
            samples, channel = activation[np.newaxis], channel + 1
        else:
            samples, channel = np.moveaxis(activation, batch, 0), channel + (channel < batch)
        maps = [self._map(layer, sample, channel - 1) for sample in samples]
        found = np.asarray(np.mean(maps, axis=0))
        # A mean over centred channels is nothing but rounding.
        parts = float(np.abs(activation).max(initial=0)) * self._weight(layer)
        return found, 1e-4 * float(np.abs(found).max(initial=0)) + 1e-6 * parts

    def _weight(self, layer: FileLayer) -> float:
        if layer.node.op_type not in CONVOLUTIONS or layer.node.input[1] not in self.fixed:
            return 1.0
        return float(np.abs(self.values[layer.node.input[1]]).sum())

    def _map(self, layer: FileLayer, sample: Float64, channel: int) -> Float64:
        """SPEC section 2 for one sample."""
        op = layer.node.op_type
        is_global = op.startswith("Global") or self._takes_positions(layer.node, sample, channel)
        if sample.ndim not in (2, 3, 4) or is_global:
            return reference.flat_map(sample, *self._size)
        last = np.moveaxis(sample, channel, -1)
        if op in RECURRENT and last.ndim == 3:
            return np.asarray(last.mean(axis=(1, 2))[np.newaxis])
        if op in CONVOLUTIONS and layer.node.input[1] in self.fixed:
            return self._convolution(layer, last)
        return reference.mean_map(last)

    def _takes_positions(self, node: onnx.NodeProto, sample: Float64, channel: int) -> bool:
        """Whether a node reduces all axes of a sample but that of the channels, and keeps them."""
        if node.op_type not in ("ReduceMean", "ReduceMax"):
            return False
        listed = [list(each.ints) for each in node.attribute if each.name == "axes"]
        listed += [self.values[name].tolist() for name in node.input[1:]]
        taken = {axis % (sample.ndim + 1) - 1 for axes in listed for axis in axes}
        return taken == set(range(sample.ndim)) - {channel}

    def _convolution(self, layer: FileLayer, sample: Float64) -> Float64:
        node, kernel = layer.node, self.values[layer.node.input[1]]
        channels = sample.shape[-1]
        bias = None
        if layer.biases:
            added = [
                np.broadcast_to(self.values[name].reshape(-1), (channels,)) for name in layer.biases
            ]
            bias = np.sum(added, axis=0)
        if node.op_type == "ConvTranspose":
            groups = next((each.i for each in node.attribute if each.name == "group"), 1)
            return reference.published_conv_transpose(sample, kernel, bias, groups)
        turned = np.moveaxis(kernel, (0, 1), (-1, -2))
        for axis in (0, 1):
            # One row or one column with a kernel of one: a 1-D convolution.
            if sample.ndim == 3 and sample.shape[axis] == turned.shape[axis] == 1:
                strip = reference.published_conv(sample.squeeze(axis), turned.squeeze(axis), bias)
                return strip if axis == 0 else strip.T
        return reference.published_conv(sample, turned, bias)

    def must_be_layers(self) -> set[str]:
        """Activations of the operators that a person calls layers wherever they read the sample."""
        return {
            self._with_bias(node).value
            for node in self.model.graph.node
            if node.op_type in ALWAYS_LAYERS
            and node.output[0] not in self.fixed
            and not self._is_gate(node)
            and np.issubdtype(self.values[node.output[0]].dtype, np.floating)
        }

    def must_be_inside(self) -> set[str]:
        """Values inside of normalizations: what a deviation is made of, and groups as instances.

        A batch normalization at inference is a Mul of one number for each channel, which an Add of
        as many alone reads.
        """
        makers = {name: node for node in self.model.graph.node for name in node.output}
        found: set[str] = set()
        for node in self.model.graph.node:
            if node.output[0] in self.fixed:
                continue
            before = [makers[name] for name in node.input if name in makers]
            free = [each for each in before if each.output[0] not in self.fixed]
            ops = [each.op_type for each in free]
            if node.op_type == "Sqrt" and ops == ["Add"]:
                means = [makers.get(name) for name in free[0].input if name not in self.fixed]
                if [each.op_type for each in means if each] == ["ReduceMean"]:
                    found |= {node.output[0], free[0].output[0]}
                    found |= {each.output[0] for each in means if each}
            if node.op_type == "Reshape" and ops[:1] == ["InstanceNormalization"]:
                grouped = makers[free[0].input[0]]
                sizes = self.values[grouped.input[0]].shape
                if grouped.op_type == "Reshape" and sizes == self.values[node.output[0]].shape:
                    found |= {free[0].output[0], grouped.output[0]}
            if node.op_type == "Add" and ops == ["Mul"] and self._is_affine(node, free[0]):
                found.add(free[0].output[0])
        return found

    def _is_affine(self, add: onnx.NodeProto, mul: onnx.NodeProto) -> bool:
        """Whether a product and a sum take one number for each channel of a convolution."""
        constants = [name for node in (mul, add) for name in node.input if name in self.fixed]
        (source,) = [name for name in mul.input if name not in self.fixed] or [""]
        made_by = {node.op_type for node in self.model.graph.node if source in node.output}
        if len(constants) != 2 or not made_by <= {"Conv"} or not made_by:
            return False
        channels = self.values[source].shape[1]
        wanted = [channels, *[1] * (self.values[source].ndim - 2)]
        shapes = [list(self.values[name].shape) for name in constants]
        alone = len(self._readers[mul.output[0]]) == 1
        return alone and channels > 1 and all(s in (wanted, [1, *wanted]) for s in shapes)

    def _is_gate(self, node: onnx.NodeProto) -> bool:
        """Whether what a function is made of is multiplied by it: SiLU and HardSwish.

        Constants may be added and multiplied before.
        """
        readers = self._readers.get(node.output[0], [])
        if len(readers) != 1 or readers[0].op_type != "Mul":
            return False
        made_of = [node.input[0]]
        makers = {each.output[0]: each for each in self.model.graph.node}
        while (maker := makers.get(made_of[-1])) and maker.op_type in ("Add", "Mul"):
            free = [name for name in maker.input if name not in self.fixed]
            if len(free) != 1:
                break
            made_of += free
        return not {*made_of}.isdisjoint(readers[0].input)
