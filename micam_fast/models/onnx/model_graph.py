"""What is known of a model once its graph has been read, whoever wrote it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Axes, Layer, ModelInput, Pointwise, Shape, Tap
from micam_fast.core.prediction import AUTOMATIC, PredictionChoice
from micam_fast.models.onnx.answers import (
    Answer,
    ModelOutput,
    check_choice,
    choose_answer,
    find_outputs,
)
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.inference import infer_sizes, infer_types, shape_of
from micam_fast.models.onnx.invariance import Invariance, find_invariance
from micam_fast.models.onnx.kernels import Weights, read_weights
from micam_fast.models.onnx.limits import LARGEST_BATCH, refuse_more
from micam_fast.models.onnx.merging import Scaling, find_scalings
from micam_fast.models.onnx.pointwise import Chain, find_chains


@dataclass(frozen=True)
class Reading:
    """What there is to find in a model's graph, as plain records that can be kept in a file.

    Attributes
    ----------
    layers
        Graph inputs first, then the operators in topological order.
    taps
        By layer name.
    inputs
        Names, shapes and axes of the values that a caller feeds.
    outputs
        The model's outputs that are tensors made from its input.
    answer
        The output that a prediction is read from, if there is one.
    kernels
        Names of weights, by layer name.
    chains
        By name: layers that follow from another one's activation element by element.
    scalings
        Pairs of operators that can run as one.
    invariance
        What the numbers of a sample do not depend on.
    """

    layers: tuple[Layer, ...]
    taps: dict[str, Tap]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[ModelOutput, ...]
    answer: Answer | None
    kernels: dict[str, Weights]
    chains: dict[str, Chain]
    scalings: tuple[Scaling, ...]
    invariance: Invariance


class ModelGraph:
    """The layers of a model, in the diagram's order, and where their activations are.

    They are those of a reading, of now or earlier; the graph is given where it has been read.

    Attributes
    ----------
    layers, taps, inputs, outputs, answer
        As in `Reading`.
    """

    def __init__(self, model: OnnxFile, reading: Reading, graph: Graph | None = None) -> None:
        self._model, self._graph = model, graph
        self.reading = reading
        self.layers, self.taps, self.inputs = reading.layers, reading.taps, reading.inputs
        self.outputs, self.answer = reading.outputs, reading.answer

    def answering(self, choice: PredictionChoice) -> ModelGraph:
        """The same model, with the answer that a user chooses.

        Raises
        ------
        PredictionError
            If the model has no such output, or another one than the user says.
        """
        if choice == AUTOMATIC:
            return self
        check_choice(self._model.name, self.outputs, choice)
        answer = choose_answer(self.outputs, choice)
        return ModelGraph(self._model, replace(self.reading, answer=answer), self._graph)

    @property
    def given(self) -> dict[str, Axes]:
        """Values that a result holds or is read from, with their axes: first output and answer."""
        given = {each.value: each.axes for each in self.outputs[:1]}
        return given if self.answer is None else given | {self.answer.value: self.answer.axes}

    @functools.cached_property
    def graph(self) -> Graph:
        """The graph; a model whose layers are known from earlier does without until it is cut."""
        return self._graph or Graph(self._model)

    @functools.cached_property
    def constants(self) -> Constants:
        """The values of weights."""
        return self._graph.constants if self._graph is not None else Constants(self._model)

    def weights(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Kernel, in ONNX order, and bias ``(C,)`` of a convolution with a constant kernel."""
        found = self.reading.kernels[name]
        return read_weights(self.constants, found, self.layer(name).bias_shape)

    def value_sizes(self, input_shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """Bytes of each value for inputs of these shapes, where shape inference can tell."""
        return infer_sizes(self._model.proto, input_shapes)

    def value_shapes(self, input_shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Shape | None]:
        """Shapes of the values for inputs of these shapes, as far as inference can tell them."""
        types = infer_types(self._model.proto, input_shapes)
        return {name: shape_of(each) for name, each in types.items()}

    @functools.cached_property
    def pointwise(self) -> dict[str, Pointwise]:
        """Layers that follow from another one's activation element by element, and how."""
        found = {n: chain.numbers(self.constants) for n, chain in self.reading.chains.items()}
        return {name: numbers for name, numbers in found.items() if numbers is not None}

    def layer(self, name: str) -> Layer:
        """The layer of this name."""
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}


def read_inputs(
    model: OnnxFile, graph: Graph, axes_of: Callable[[str, Shape], Axes]
) -> Iterator[ModelInput]:
    """What a caller feeds; `axes_of` gives an input's axes by its name and shape.

    Raises
    ------
    ModelError
        If an input is no tensor, or has no rank.
    """
    for value in graph.inputs:
        about = f"model {model.name!r}: input {value.name!r}"
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"{about} is no tensor; micam-fast feeds arrays only")
        shape = graph.shape(value.name)
        if shape is None:
            raise ModelError(
                f"{about} has no rank; give it a shape (sizes may stay symbolic) when exporting "
                "the model"
            )
        kind = value.type.tensor_type.elem_type
        try:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
        except KeyError:
            raise ModelError(
                f"{about} has no element type that is known ({kind}); export the model again"
            ) from None
        axes = axes_of(value.name, shape)
        batch = shape[axes.batch] if axes.batch is not None and axes.batch < len(shape) else None
        what = f"samples in the fixed batch of input {value.name!r}"
        remedy = "leave the batch open when exporting it"
        refuse_more(model.name, batch or 1, LARGEST_BATCH, what, remedy)
        yield ModelInput(value.name, shape, axes, str(dtype))


def assemble(
    model: OnnxFile,
    graph: Graph,
    layers: Sequence[Layer],
    taps: dict[str, Tap],
    inputs: tuple[ModelInput, ...],
    kernels: dict[str, Weights],
    axes_of: Callable[[str], Axes],
    *,
    inner: Collection[str] = (),
) -> ModelGraph:
    """The model with what follows from its layers.

    `axes_of` gives a value's axes by its name, `inner` are outputs for a layer's map alone.
    """
    outputs = tuple(find_outputs(graph, inputs, axes_of, inner=inner))
    reading = Reading(
        tuple(layers),
        taps,
        inputs,
        outputs,
        choose_answer(outputs, AUTOMATIC),
        kernels,
        find_chains(graph, taps),
        find_scalings(graph, axes_of),
        find_invariance(graph),
    )
    return ModelGraph(model, reading, graph)
