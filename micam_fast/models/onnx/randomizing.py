"""A model's weights by layer, and the same model with random values in some of them."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from micam_fast.models.onnx.files import OnnxFile, bodies, whole_tensor
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.model_graph import ModelGraph
from micam_fast.models.onnx.operators import find_operator

_Type = onnx.TensorProto
_REAL = {_Type.FLOAT, _Type.FLOAT16, _Type.DOUBLE, _Type.BFLOAT16}
# 64 bits hold shapes, which may stand beside quantized weights.
_CODES = {
    _Type.INT4, _Type.UINT4, _Type.INT8, _Type.UINT8, _Type.INT16, _Type.UINT16, _Type.INT32,
}  # fmt: skip


@dataclass(frozen=True)
class LayerWeights:
    """What a layer's activation and map depend on.

    Attributes
    ----------
    tensors
        Keys of the constant tensors that its own operators read. Layers may share some.
    reads
        Names of the layers whose activations it reads.
    """

    tensors: frozenset[str]
    reads: frozenset[str]


def find_weights(model: OnnxFile, graph: ModelGraph) -> dict[str, LayerWeights]:
    """The weights of each layer, in the diagram's order.

    A layer's operators are all those on the way back from its activation to those of other layers:
    a bias that is an Add of its own, both convolutions of a separable one, a batch normalization
    written as Mul and Add. Their weights are the tensors of more than one real number that they
    read, directly or through constant operators (Transpose, Identity), and the integers that are
    quantized weights, in a DequantizeLinear or in an operator of integers. The scales and zero
    points of these are units and no weights; neither are sizes, bounds and pads.
    """
    finder = _Finder(graph.graph, dict(_held_tensors(model.proto.graph)))
    found = {}
    for layer in graph.layers:
        tensors, reads = finder.walk(layer.name, graph.taps[layer.name].value)
        named = graph.reading.kernels.get(layer.name)
        if named is not None:
            # A map is weighted by these, whatever the operators read.
            for name in filter(None, (named.kernel, named.bias, named.pointwise)):
                tensors.update(finder.leaves(name, quantized=named.scale is not None))
        found[layer.name] = LayerWeights(frozenset(tensors), frozenset(reads))
    return found


def randomize_weights(model: OnnxFile, keys: Collection[str], seeds: Sequence[int]) -> OnnxFile:
    """The same model with random values in some weights.

    A tensor with values of both signs (kernels, biases, means) is drawn anew from a normal
    distribution of mean 0 and of the tensor's own root mean square: as networks are initialized,
    in the scale that this one has been trained to. Its own mean would be something learned; where
    the values were only permuted, the sign of a kernel's sum would stay, and with it the sign of
    the map. A tensor of one sign (variances and scales of batch normalizations), and quantized
    weights, whose codes have bounds, are permuted instead.

    Parameters
    ----------
    model
        It is not changed.
    keys
        Of `LayerWeights.tensors`. A tensor that holds values which are not finite (a mask) stays.
    seeds
        Decide the values, together with the key: they do not depend on which other tensors are
        random.
    """
    proto = copy.deepcopy(model.proto)
    made = OnnxFile(proto, model.name, model.folder)
    for key, tensor in _held_tensors(proto.graph):
        if key in keys:
            rng = np.random.default_rng([*seeds, *hashlib.sha256(key.encode()).digest()[:8]])
            values = numpy_helper.to_array(whole_tensor(tensor, made))
            drawn = _draw(values, tensor.data_type in _REAL, rng)
            tensor.CopyFrom(numpy_helper.from_array(drawn, tensor.name))
    return made


def _draw(values: NDArray[Any], is_real: bool, rng: np.random.Generator) -> NDArray[Any]:
    """Random values in the place of these."""
    if is_real:
        numbers = values.astype(np.promote_types(values.dtype, np.float32), copy=False).reshape(-1)
        low, high = numbers.min(), numbers.max()
        if not np.isfinite([low, high]).all():
            return values
        if low < 0 < high:
            # By einsum: it casts piece by piece, and a kernel may take a gigabyte.
            size = np.sqrt(np.einsum("i,i", numbers, numbers, dtype=np.float64) / numbers.size)
            drawn = rng.standard_normal(values.shape, np.float32)
            drawn *= np.float32(size)
            return drawn.astype(values.dtype, copy=False)
    return np.asarray(rng.permutation(values.reshape(-1)).reshape(values.shape))


class _Finder:
    """Walks back from activations; a node belongs to the layer that comes to it first."""

    def __init__(self, graph: Graph, held: Mapping[str, onnx.TensorProto]) -> None:
        self._graph, self._held = graph, held
        # The layer that stands for a value, and the one whose node it is.
        self._owner: dict[str, str] = {}
        self._claimed: dict[int, str] = {}

    def walk(self, layer: str, value: str) -> tuple[set[str], set[str]]:
        """Weights of a layer, and the layers that it reads."""
        tensors: set[str] = set()
        reads: set[str] = set()
        waiting = [value]
        seen = set(waiting)
        while waiting:
            read = waiting.pop()
            index = self._graph.producer.get(read)
            maker = self._owner.get(read, layer)
            if maker == layer and index is not None:
                maker = self._claimed.setdefault(index, layer)
            if maker != layer:
                reads.add(maker)
            elif index is not None:
                node = self._graph.nodes[index]
                tensors.update(self._weights(node))
                fresh = [each for each in self._graph.activations(node) if each not in seen]
                seen.update(fresh)
                waiting.extend(fresh)
        self._owner.setdefault(value, layer)
        return tensors, reads

    def leaves(
        self, name: str, scopes: tuple[str, ...] = ("",), *, quantized: bool = False
    ) -> Iterator[str]:
        """Keys of the weights among the tensors that a value is made of, if it is constant."""
        for scope in scopes:
            tensor = self._held.get(scope + name)
            if tensor is not None:
                is_weight = tensor.data_type in _REAL or (quantized and tensor.data_type in _CODES)
                if is_weight and math.prod(tensor.dims) > 1:
                    yield scope + name
                return
        if self._graph.is_constant(name):
            node = self._graph.nodes[self._graph.producer[name]]
            yield from self._weights(node, quantized=quantized)

    def _weights(
        self, node: onnx.NodeProto, scopes: tuple[str, ...] = ("",), *, quantized: bool = False
    ) -> Iterator[str]:
        """Keys of the weights that a node reads, in its subgraphs, too."""
        operator = find_operator(node)
        for place, name in enumerate(node.input):
            is_weight = place in operator.codes or not operator.codes
            if name and is_weight and place not in operator.settings:
                is_code = quantized or bool(operator.codes)
                yield from self.leaves(name, scopes, quantized=is_code)
        if operator.name == "Constant":
            yield from self.leaves(node.output[0], scopes, quantized=quantized)
        for body in bodies(node):
            inner = (_scope(scopes[0], node, body), *scopes)
            for each in body.node:
                yield from self._weights(each, inner)


def _held_tensors(graph: onnx.GraphProto, scope: str = "") -> Iterator[tuple[str, _Type]]:
    """A graph's initializers and Constant nodes, those of its subgraphs, too, by unique keys."""
    yield from ((scope + tensor.name, tensor) for tensor in graph.initializer)
    yield from ((scope + each.values.name, each.values) for each in graph.sparse_initializer)
    for node in graph.node:
        held = node.attribute if find_operator(node).name == "Constant" else ()
        yield from ((scope + node.output[0], each.t) for each in held if each.HasField("t"))
        for body in bodies(node):
            yield from _held_tensors(body, _scope(scope, node, body))


def _scope(outer: str, node: onnx.NodeProto, subgraph: onnx.GraphProto) -> str:
    return f"{outer}{node.output[0]}/{subgraph.name}/"
