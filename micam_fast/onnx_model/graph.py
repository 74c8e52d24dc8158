"""A graph's values by what they are: constants, shape bookkeeping or activations."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from micam_fast.errors import ModelError
from micam_fast.layers import Shape
from micam_fast.onnx_model.files import OnnxFile, external_path, subgraphs

_MEASURES = {"Shape", "Size"}
_RANDOM = {
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
}
# Shape inference looks into small constants only: sizes, axes, permutations.
_SMALL_TENSOR = 1024


class Kind(Enum):
    """What a value depends on."""

    CONSTANT = "constants alone"
    SHAPE = "shapes alone"
    ACTIVATION = "the model's input"


class Graph:
    """An ONNX graph with its values classified.

    Attributes
    ----------
    nodes
        In topological order.
    inputs
        The inputs that a caller feeds: those that are no initializers.
    outputs
        Names of the graph's outputs.
    kind
        Of every value of the outer graph.
    producer
        Index of the node that makes a value.
    consumers
        Indices of the nodes that read a value, once for each reading, subgraphs included.
    """

    def __init__(self, model: OnnxFile) -> None:
        self._model = model
        graph = model.proto.graph
        self.nodes: list[onnx.NodeProto] = list(graph.node)
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._sparse = {sparse.values.name: sparse for sparse in graph.sparse_initializer}
        constants = {*self.initializers, *self._sparse}
        self.inputs = [value for value in graph.input if value.name not in constants]
        self.outputs = [value.name for value in graph.output]
        self.kind: dict[str, Kind] = dict.fromkeys(constants, Kind.CONSTANT)
        self.kind.update((value.name, Kind.ACTIVATION) for value in self.inputs)
        self.producer: dict[str, int] = {}
        self.consumers: defaultdict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            self._classify(index, node)
        self._types = _infer_types(model.proto, {})
        self._arrays: dict[str, NDArray[Any]] = {}

    def _classify(self, index: int, node: onnx.NodeProto) -> None:
        read = list(captured(node))
        missing = [name for name in read if name not in self.kind]
        if missing:
            raise ModelError(
                f"model {self._model.name!r}: node {node.name or node.output[0]!r} reads "
                f"{missing[0]!r}, which no earlier node makes; the graph is broken or not sorted"
            )
        for name in read:
            self.consumers[name].append(index)
        kinds = {self.kind[name] for name in read}
        if node.op_type in _RANDOM:
            kind = Kind.ACTIVATION
        elif kinds <= {Kind.CONSTANT}:
            kind = Kind.CONSTANT
        elif node.op_type in _MEASURES or Kind.ACTIVATION not in kinds:
            kind = Kind.SHAPE
        else:
            kind = Kind.ACTIVATION
        for name in node.output:
            if name:
                self.kind[name] = kind
                self.producer[name] = index

    def activations(self, node: onnx.NodeProto) -> list[str]:
        """Names of the activations that a node reads, subgraphs included."""
        return [name for name in captured(node) if self.kind[name] is Kind.ACTIVATION]

    def is_constant(self, name: str) -> bool:
        """Tell whether a value is there and depends on constants alone."""
        return self.kind.get(name) is Kind.CONSTANT

    def shape(self, name: str) -> Shape | None:
        """Shape of a value as far as it is known before a run; ``None`` if the rank is not."""
        if name in self.initializers:
            return tuple(self.initializers[name].dims)
        if name in self._sparse:
            return tuple(self._sparse[name].dims)
        if name in self._types:
            return _shape_of(self._types[name])
        return None

    def is_tensor(self, name: str) -> bool:
        """Tell whether a value is a numeric tensor, as far as is known."""
        found = self._types.get(name)
        if found is None:
            return True
        return (
            found.HasField("tensor_type") and found.tensor_type.elem_type != onnx.TensorProto.STRING
        )

    def element_type(self, name: str) -> int:
        """ONNX's number of a tensor's element type, 0 where it is unknown."""
        found = self._types.get(name)
        return found.tensor_type.elem_type if found is not None else 0

    def live_nodes(self) -> frozenset[int]:
        """Indices of nodes whose activations reach an output other than through a shape."""
        wanted = set(self.outputs)
        live = set()
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            made = [name for name in node.output if name]
            if wanted.isdisjoint(made) or self.kind[made[0]] is not Kind.ACTIVATION:
                continue
            live.add(index)
            wanted.update(self.activations(node))
        return frozenset(live)

    def constant_shape(self, name: str) -> tuple[int, ...]:
        """Shape of a constant."""
        shape = self.shape(name)
        if shape is None or None in shape:
            return self.array(name).shape
        return tuple(size for size in shape if size is not None)

    def is_known(self, name: str) -> bool:
        """Tell whether a value is a constant that can be computed."""
        if not self.is_constant(name):
            return False
        if name in self.producer:
            try:
                self.array(name)
            except ModelError:
                return False
        return True

    def array(self, name: str) -> NDArray[Any]:
        """Values of a constant, folded from the constants it depends on.

        Raises
        ------
        ModelError
            If the constant's operators are unknown to ONNX's reference implementation.
        """
        if name in self.initializers:
            return self._tensor_array(self.initializers[name])
        if name in self._sparse:
            return self._dense_array(self._sparse[name])
        if name in self._arrays:
            return self._arrays[name]
        for index in self._makers(name):
            self._fold(name, self.nodes[index])
        return self._arrays[name]

    def _makers(self, name: str) -> list[int]:
        """Nodes that make a constant and what it depends on, those not yet folded, in order."""
        found: set[int] = set()
        waiting = [name]
        while waiting:
            made = waiting.pop()
            index = self.producer.get(made)
            if index is not None and index not in found and made not in self._arrays:
                found.add(index)
                waiting.extend(captured(self.nodes[index]))
        return sorted(found)

    def _fold(self, name: str, node: onnx.NodeProto) -> None:
        feeds = {read: self.array(read) for read in captured(node)}
        graph = onnx.helper.make_graph(
            [node],
            "constant",
            [onnx.ValueInfoProto(name=read) for read in feeds],
            [onnx.ValueInfoProto(name=made) for made in node.output if made],
        )
        lone = onnx.helper.make_model(graph, opset_imports=self._model.proto.opset_import)
        try:
            values = _evaluate(lone, feeds)
        except Exception as error:
            raise ModelError(
                f"model {self._model.name!r}: cannot compute the constant {name!r} "
                f"({node.op_type}): {error}"
            ) from error
        made = [output for output in node.output if output]
        self._arrays.update(zip(made, (np.asarray(value) for value in values), strict=True))

    def _tensor_array(self, tensor: onnx.TensorProto) -> NDArray[Any]:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            return numpy_helper.to_array(tensor)
        path, offset, length = external_path(tensor, self._model)
        whole = onnx.TensorProto()
        whole.CopyFrom(tensor)
        del whole.external_data[:]
        whole.data_location = onnx.TensorProto.DEFAULT
        with path.open("rb") as file:
            file.seek(offset)
            whole.raw_data = file.read(-1 if length is None else length)
        return numpy_helper.to_array(whole)

    def _dense_array(self, sparse: onnx.SparseTensorProto) -> NDArray[Any]:
        values, indices = (self._tensor_array(part) for part in (sparse.values, sparse.indices))
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = values
        else:
            dense[tuple(indices.T)] = values
        return dense

    def value_sizes(self, input_shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """Bytes of each value for inputs of these shapes, where shape inference can tell."""
        sizes = {}
        for name, found in _infer_types(self._model.proto, input_shapes).items():
            shape = _shape_of(found)
            if shape is not None and None not in shape:
                count = math.prod(size for size in shape if size is not None)
                dtype = onnx.helper.tensor_dtype_to_np_dtype(found.tensor_type.elem_type)
                sizes[name] = count * dtype.itemsize
        return sizes


def _evaluate(lone: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Run a single node by ONNX's reference implementation.

    It knows some operators (DequantizeLinear) in their newest version only; an operator whose older
    version takes other inputs fails there.
    """
    try:
        evaluator = ReferenceEvaluator(lone)
    except (NotImplementedError, RuntimeError):
        newest = onnx.ModelProto()
        newest.CopyFrom(lone)
        for imported in newest.opset_import:
            if imported.domain in ("", "ai.onnx"):
                imported.version = onnx.defs.onnx_opset_version()
        evaluator = ReferenceEvaluator(newest)
    return list(evaluator.run(None, dict(feeds)))


def captured(node: onnx.NodeProto) -> Iterator[str]:
    """Names of the outer graph that a node reads, directly or inside its subgraphs."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for subgraph in subgraphs(attribute):
            yield from _free_names(subgraph)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The node's attributes as Python values."""
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def _free_names(graph: onnx.GraphProto) -> Iterator[str]:
    bound = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        yield from (name for name in captured(node) if name not in bound)
        bound.update(node.output)
    yield from (value.name for value in graph.output if value.name not in bound)


def _shape_of(found: onnx.TypeProto) -> Shape | None:
    if not found.HasField("tensor_type") or not found.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in found.tensor_type.shape.dim
    )


def _infer_types(
    proto: onnx.ModelProto, input_shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, onnx.TypeProto]:
    """Types by ONNX's shape inference, on a copy without the large weights."""
    copy = onnx.ModelProto()
    copy.ir_version = proto.ir_version
    copy.opset_import.extend(proto.opset_import)
    copy.graph.node.extend(proto.graph.node)
    copy.graph.input.extend(proto.graph.input)
    copy.graph.output.extend(proto.graph.output)
    for tensor in proto.graph.initializer:
        light = copy.graph.initializer.add()
        if math.prod(tensor.dims) <= _SMALL_TENSOR:
            light.CopyFrom(tensor)
        else:
            light.name, light.data_type = tensor.name, tensor.data_type
            light.dims.extend(tensor.dims)
    for value in copy.graph.input:
        if value.name in input_shapes:
            del value.type.tensor_type.shape.dim[:]
            for size in input_shapes[value.name]:
                value.type.tensor_type.shape.dim.add().dim_value = size
    if input_shapes:
        for value in copy.graph.output:
            value.type.tensor_type.ClearField("shape")
    # Inference is a help, not a need: a run tells all shapes, and ONNX Runtime judges models.
    with contextlib.suppress(Exception):
        copy = onnx.shape_inference.infer_shapes(copy, data_prop=True)
    values: Iterable[onnx.ValueInfoProto] = (
        *copy.graph.output,
        *copy.graph.value_info,
        *copy.graph.input,
    )
    return {value.name: value.type for value in values if value.HasField("type")}
