"""A model's constants: those it holds, and those that its nodes compute from them."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx.files import OnnxFile, subgraphs, whole_tensor
from micam_fast.models.onnx.inference import SMALL_TENSOR, is_small, promised_size
from micam_fast.models.onnx.limits import largest_value, shown
from micam_fast.models.onnx.operators import ONNX_DOMAINS, find_operator


class Constants:
    """The values of a model's constants, read and computed when they are asked for.

    Attributes
    ----------
    held
        Initializers by name, sparse ones as their values' name.
    read
        Names of those whose values were asked for and are not in `bare_model`.
    """

    def __init__(self, model: OnnxFile) -> None:
        self._model = model
        graph = model.proto.graph
        self.held: dict[str, onnx.TensorProto | onnx.SparseTensorProto] = {
            **{sparse.values.name: sparse for sparse in graph.sparse_initializer},
            **{tensor.name: tensor for tensor in graph.initializer},
        }
        self.read: set[str] = set()
        self._computed: dict[str, NDArray[Any]] = {}
        # What the computed ones take.
        self._bytes = 0.0

    def array(self, name: str) -> NDArray[Any]:
        """Values of a constant, folded from the constants it depends on.

        Raises
        ------
        ModelError
            If the constant's operators are unknown to ONNX's reference implementation.
        """
        held = self.held.get(name)
        if held is not None:
            if isinstance(held, onnx.SparseTensorProto):
                self.read.add(name)
                return self._dense_array(held)
            if not is_small(held):
                self.read.add(name)
            return numpy_helper.to_array(whole_tensor(held, self._model))
        if name not in self._computed:
            for index in self._makers(name):
                self._fold(name, self._model.proto.graph.node[index])
        return self._computed[name]

    def digest(self, name: str) -> str:
        """A digest of the values of a held constant."""
        held = self.held[name]
        parts = [held] if isinstance(held, onnx.TensorProto) else [held.values, held.indices]
        digest = hashlib.sha256(repr(list(held.dims)).encode())
        for part in parts:
            digest.update(whole_tensor(part, self._model).SerializeToString(deterministic=True))
        return digest.hexdigest()

    @functools.cached_property
    def _producer(self) -> dict[str, int]:
        nodes = self._model.proto.graph.node
        return {name: index for index, node in enumerate(nodes) for name in node.output if name}

    def _makers(self, name: str) -> list[int]:
        """Nodes that make a constant and what it depends on, those not yet folded, in order."""
        found: set[int] = set()
        waiting = [name]
        while waiting:
            made = waiting.pop()
            index = self._producer.get(made)
            if index is not None and index not in found and made not in self._computed:
                found.add(index)
                waiting.extend(captured(self._model.proto.graph.node[index]))
        return sorted(found)

    def _fold(self, name: str, node: onnx.NodeProto) -> None:
        operator = find_operator(node)
        if operator.name == "Constant" and node.attribute[0].name == "value":
            tensor = whole_tensor(node.attribute[0].t, self._model)
            self._computed[node.output[0]] = numpy_helper.to_array(tensor)
            return
        if not operator.folded:
            raise self._not_computed(name, node, "no operator that is computed beforehand")
        feeds = {read: self.array(read) for read in captured(node)}
        made = [output for output in node.output if output]
        lone = _lone_model(node, feeds, self._model.proto.opset_import)
        self._bytes += promised_size(lone, made)
        if self._bytes > largest_value():
            raise self._not_computed(name, node, "it is too large, or of a size that is not known")
        try:
            values = _evaluate(lone, feeds)
        except Exception as error:
            raise self._not_computed(name, node, str(error)) from error
        self._computed.update(zip(made, (np.asarray(value) for value in values), strict=True))

    def _not_computed(self, name: str, node: onnx.NodeProto, why: str) -> ModelError:
        return ModelError(
            f"model {self._model.name!r}: cannot compute the constant {name!r} ({node.op_type}): "
            f"{shown(why)}"
        )

    def _dense_array(self, sparse: onnx.SparseTensorProto) -> NDArray[Any]:
        parts = (sparse.values, sparse.indices)
        values, indices = (numpy_helper.to_array(whole_tensor(part, self._model)) for part in parts)
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = values
        else:
            dense[tuple(indices.T)] = values
        return dense


def captured(node: onnx.NodeProto) -> Iterator[str]:
    """Names of the outer graph that a node reads, directly or inside its subgraphs."""
    yield from (name for name in node.input if name)
    # Not by `bodies`: this runs most of all, and a generator more takes its time.
    for attribute in node.attribute:
        for body in subgraphs(attribute):
            yield from _free_names(body)


def _free_names(graph: onnx.GraphProto) -> Iterator[str]:
    bound = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        yield from (name for name in captured(node) if name not in bound)
        bound.update(node.output)
    yield from (value.name for value in graph.output if value.name not in bound)


def _lone_model(
    node: onnx.NodeProto, feeds: Mapping[str, NDArray[Any]], opsets: Iterable[Any]
) -> onnx.ModelProto:
    """A model of a single node, which reads constants."""
    helper = onnx.helper
    inputs = [
        helper.make_tensor_value_info(
            read, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for read, array in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=made) for made in node.output if made]
    graph = helper.make_graph([node], "constant", inputs, outputs)
    lone = helper.make_model(graph, opset_imports=list(opsets))
    # What gives sizes tells inference about the result.
    lone.graph.initializer.extend(
        numpy_helper.from_array(array, read)
        for read, array in feeds.items()
        if array.size <= SMALL_TENSOR
    )
    return lone


def _evaluate(lone: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Run a single node by ONNX's reference implementation.

    It knows some operators (DequantizeLinear) in their newest version only; an operator whose older
    version takes other inputs fails there.
    """
    # Few models have constants to compute, and it takes its time to load.
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(lone)
    except (NotImplementedError, RuntimeError):
        newest = copy.deepcopy(lone)
        for imported in newest.opset_import:
            if imported.domain in ONNX_DOMAINS:
                imported.version = onnx.defs.onnx_opset_version()
        evaluator = ReferenceEvaluator(newest)
    return list(evaluator.run(None, dict(feeds)))
