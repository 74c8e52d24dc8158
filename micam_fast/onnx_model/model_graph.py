"""What is known of a model once its graph has been read, whoever wrote it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray

from micam_fast.errors import ModelError
from micam_fast.layers import Axes, Layer, ModelInput, Shape, Tap
from micam_fast.onnx_model.files import OnnxFile
from micam_fast.onnx_model.graph import Graph, Kind
from micam_fast.onnx_model.kernels import Weights, read_weights

# Bookkeeping between layers: the numbers are the same before and after, but for rounding.
SEEN_THROUGH = {
    "Cast", "CastLike", "DequantizeLinear", "DynamicQuantizeLinear", "Identity",
    "OptionalGetElement", "QuantizeLinear", "Squeeze", "Unsqueeze",
}  # fmt: skip


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
    prediction, prediction_axes
        The ONNX value and axes of the model's first output that is a tensor made from its input,
        if there is one.
    last_op
        The operator that makes that output, bookkeeping seen through.
    """

    layers: tuple[Layer, ...]
    taps: dict[str, Tap]
    inputs: tuple[ModelInput, ...]
    prediction: str | None
    prediction_axes: Axes
    last_op: str
    graph: Graph
    _weights: dict[str, Weights]

    def weights(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Kernel, in ONNX order, and bias ``(C,)`` of a convolution with a constant kernel."""
        return read_weights(self.graph, self._weights[name], self.layer(name).bias_shape)

    def layer(self, name: str) -> Layer:
        """The layer of this name."""
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}


def read_inputs(
    model: OnnxFile, graph: Graph, axes_of: Callable[[str, Shape], Axes]
) -> Iterator[ModelInput]:
    """What a caller feeds.

    Parameters
    ----------
    model, graph
        The model.
    axes_of
        Gives the axes of an input by its name and shape.

    Raises
    ------
    ModelError
        If an input is no tensor, or has no rank.
    """
    for value in graph.inputs:
        if not value.type.HasField("tensor_type"):
            raise ModelError(
                f"model {model.name!r}: input {value.name!r} is no tensor; micam-fast feeds arrays "
                "only"
            )
        shape = graph.shape(value.name)
        if shape is None:
            raise ModelError(
                f"model {model.name!r}: input {value.name!r} has no rank; give it a shape (sizes "
                "may stay symbolic) when exporting the model"
            )
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        yield ModelInput(value.name, shape, axes_of(value.name, shape), str(dtype))


def find_prediction(graph: Graph) -> str | None:
    """The first output that is a tensor made from the model's input, if there is one."""
    return next(
        (
            value
            for value in graph.outputs
            if graph.kind[value] is Kind.ACTIVATION and graph.is_tensor(value)
        ),
        None,
    )


def find_maker(graph: Graph, value: str) -> str:
    """The operator that makes a value, bookkeeping seen through."""
    while value in graph.producer:
        node = graph.nodes[graph.producer[value]]
        if node.op_type not in {*SEEN_THROUGH, "Transpose", "Reshape", "Flatten"}:
            return node.op_type
        value = node.input[0]
    return "Input"
