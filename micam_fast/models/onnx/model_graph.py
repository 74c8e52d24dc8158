"""What is known of a model once its graph has been read, whoever wrote it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import onnx
from numpy.typing import NDArray

from micam_fast.core.activation_axes import single_batch_axis, view_activation
from micam_fast.core.errors import ModelError
from micam_fast.core.layers import (
    Axes,
    Layer,
    ModelInput,
    Pointwise,
    Reason,
    Shape,
    Tap,
    fill_shapes,
    fits_shape,
)
from micam_fast.core.prediction import AUTOMATIC, PredictionChoice
from micam_fast.models.onnx.answers import (
    Answer,
    ModelOutput,
    check_choice,
    choose_answer,
    find_outputs,
)
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.inference import infer_sizes, shape_of
from micam_fast.models.onnx.invariance import Invariance, find_invariance
from micam_fast.models.onnx.kernels import Weights, read_weights
from micam_fast.models.onnx.limits import LARGEST_BATCH, refuse_more
from micam_fast.models.onnx.merging import Scaling, find_scalings
from micam_fast.models.onnx.notes import notes_of
from micam_fast.models.onnx.pointwise import Chain, find_chains


@dataclass(frozen=True)
class Reading:
    """What there is to find in a model's graph, as plain records that can be kept in a file.

    Attributes
    ----------
    layers
        Graph inputs first, then the operators in topological order.
    taps, reasons
        By layer name: where its activation is, and what says where that one's axes lie.
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
    nodes
        By layer name: the indices of its own operator, and of those up to its bias. Inputs have
        none. Of a layer of several operators the last one is first.
    places
        By name of a layer that is not its operator's first output: that output's place.
    operations
        By name of a layer that an exporter wrote as several operators: what they are together.
    facts
        The shapes that the graph was read for; ``None`` if sizes other than the batch were open.
    open_values
        Activations whose sizes are unknown even so: a run tells them.
    sliced
        Whether the model may run in slices.
    folded
        Convolutions that an exporter has folded a batch normalization into.
    """

    layers: tuple[Layer, ...]
    taps: dict[str, Tap]
    reasons: dict[str, Reason]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[ModelOutput, ...]
    answer: Answer | None
    kernels: dict[str, Weights]
    chains: dict[str, Chain]
    scalings: tuple[Scaling, ...]
    invariance: Invariance
    nodes: dict[str, tuple[int, ...]]
    places: dict[str, int]
    operations: dict[str, str]
    facts: Facts | None
    open_values: tuple[str, ...]
    sliced: bool = True
    folded: int = 0

    def plain(self) -> Reading:
        """The same without rewritings: each activation is the file's own."""
        return replace(self, chains={}, scalings=(), sliced=False)


class ModelGraph:
    """The layers of a model, in the diagram's order, and where their activations are.

    They are those of a reading, of now or earlier; the graph is given where it has been read.

    Attributes
    ----------
    layers, taps, inputs, outputs, answer
        As in `Reading`.
    key
        A digest of all that the layers were read from; ``None`` where it is not known.
    """

    def __init__(
        self,
        model: OnnxFile,
        reading: Reading,
        graph: Graph | None = None,
        *,
        key: bytes | None = None,
    ) -> None:
        self._model, self._graph, self.key = model, graph, key
        self._variants: WeakKeyDictionary[OnnxFile, ModelGraph] = WeakKeyDictionary()
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
        check_choice(self._model.name, self.outputs, choice)
        return self.with_choice(choice)

    def with_choice(self, choice: PredictionChoice) -> ModelGraph:
        """The same, where the choice was checked with an earlier reading of the model."""
        if choice == AUTOMATIC:
            return self
        reading = replace(self.reading, answer=choose_answer(self.outputs, choice))
        return ModelGraph(self._model, reading, self._graph, key=self.key)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the owner of the model should know of all its maps."""
        return notes_of(self.reading.folded, self.reading.invariance.random)

    @property
    def given(self) -> dict[str, Axes]:
        """Values that a result holds or is read from, with their axes: first output and answer."""
        given = {each.value: each.axes for each in self.outputs[:1]}
        return given if self.answer is None else given | {self.answer.value: self.answer.axes}

    @functools.cached_property
    def graph(self) -> Graph:
        """The graph; a model whose layers are known from earlier does without until it is cut."""
        return self._graph or Graph(self._model, self.reading.facts)

    @functools.cached_property
    def constants(self) -> Constants:
        """The values of weights."""
        return self._graph.constants if self._graph is not None else Constants(self._model)

    def plain(self) -> ModelGraph:
        """The same without rewritings."""
        return ModelGraph(self._model, self.reading.plain(), self._graph, key=self.key)

    def of(self, model: OnnxFile) -> ModelGraph:
        """The same of a model that has other weights; one object for each that is asked for."""
        if model not in self._variants:
            self._variants[model] = ModelGraph(model, self.reading)
        return self._variants[model]

    def weights(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Kernel, in ONNX order, and bias ``(C,)`` of a convolution with a constant kernel."""
        found = self.reading.kernels[name]
        return read_weights(self.constants, found, self.layer(name).bias_shape)

    def value_sizes(self, input_shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """Bytes of each value for inputs of these shapes, where shape inference can tell."""
        return infer_sizes(self._model.proto, input_shapes)

    @functools.cached_property
    def pointwise(self) -> dict[str, Pointwise]:
        """Layers that follow from another one's activation element by element, and how."""
        found = {n: chain.numbers(self.constants) for n, chain in self.reading.chains.items()}
        return {name: numbers for name, numbers in found.items() if numbers is not None}

    def layer(self, name: str) -> Layer:
        """The layer of this name."""
        return self._by_name[name]

    def find_frames(self, names: Collection[str]) -> str | None:
        """The first of some layers that holds frames, windows or pairs of a larger sample.

        A single frame in the batch axis looks like a sample. ``None`` also where the sizes that a
        larger sample would have are not known.
        """
        larger = self._larger
        if larger is None:
            return None
        # What no model can hold is none of its samples.
        with suppress(ModelError):
            for layer in self.layers:
                tap = self.taps[layer.name]
                shape = larger.shape(tap.value) if layer.name in names else None
                sizes = tuple(1 if size is None else size for size in shape or ())
                batch = single_batch_axis(sizes, tap.axes)
                if sizes and view_activation(sizes, tap.axes, tap.form, batch).folded:
                    return layer.name
        return None

    @functools.cached_property
    def _larger(self) -> Graph | None:
        """The graph for a sample of twice the sizes that the model leaves open, if it does."""
        fed = {} if self.reading.facts is None else dict(self.reading.facts.fed)
        for spec in self.inputs if fed else ():
            fed[spec.name] = tuple(
                size if known is not None or axis == spec.axes.batch else 2 * size
                for axis, (size, known) in enumerate(zip(fed[spec.name], spec.shape, strict=True))
            )
        if self.reading.facts is None or fed == self.reading.facts.fed:
            return None
        return Graph(self._model, Facts(fed))

    @functools.cached_property
    def sized_layers(self) -> dict[str, Layer]:
        """The layers by name, with the sizes that the graph was read for where these are known.

        A Keras layer's own record has the sizes that its model leaves open.
        """
        made = {layer.name: self._sized_shape(layer) for layer in self.layers}
        sized = {}
        for layer in self.layers:
            parents = (made[name] for name in layer.inputs or (layer.name,))
            read = fill_shapes(layer.input_shapes, [each for each in parents if each is not None])
            sized[layer.name] = replace(
                layer, input_shapes=tuple(read), output_shape=made[layer.name]
            )
        return sized

    def _sized_shape(self, layer: Layer) -> Shape | None:
        tap, declared = self.taps[layer.name], layer.output_shape
        if declared is not None and declared.count(None) <= (tap.axes.batch is not None):
            return declared
        inferred = self.graph.shape(tap.value)
        if inferred is None:
            return declared
        order = range(len(inferred)) if tap.shown is None else tap.shown
        found = tuple(None if axis == tap.axes.batch else inferred[axis] for axis in order)
        return found if declared is None or fits_shape(found, declared) else declared

    @functools.cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}


def read_inputs(
    model: OnnxFile, graph: Graph, axes_of: Callable[[str], Axes]
) -> Iterator[ModelInput]:
    """What a caller feeds; `axes_of` gives an input's axes by its name.

    Raises
    ------
    ModelError
        If an input is no tensor, or has no rank.
    """
    for value in graph.inputs:
        about = f"model {model.name!r}: input {value.name!r}"
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"{about} is no tensor; micam-fast feeds arrays only")
        shape = shape_of(value.type)
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
        axes = axes_of(value.name)
        batch = shape[axes.batch] if axes.batch is not None and axes.batch < len(shape) else None
        what = f"samples in the fixed batch of input {value.name!r}"
        remedy = "leave the batch open when exporting it"
        refuse_more(model.name, batch or 1, LARGEST_BATCH, what, remedy)
        yield ModelInput(value.name, shape, axes, str(dtype))


@dataclass(frozen=True)
class FoundLayer:
    """All that is found of one layer; see `Reading` for the meaning of each.

    Attributes
    ----------
    operation
        What an exporter wrote as several operators.
    """

    layer: Layer
    tap: Tap
    reason: Reason
    kernel: Weights | None = None
    nodes: tuple[int, ...] = ()
    place: int = 0
    operation: str | None = None


def assemble(
    model: OnnxFile,
    graph: Graph,
    found: Sequence[FoundLayer],
    inputs: tuple[ModelInput, ...],
    axes_of: Callable[[str], Axes],
    *,
    inner: Collection[str] = (),
    before: Sequence[ModelOutput] = (),
    folded: int = 0,
) -> ModelGraph:
    """The model with what follows from its layers.

    `axes_of` gives a value's axes by its name, `inner` are outputs for a layer's map alone,
    `before` the outputs as an earlier reading found them, `folded` is as in `Reading`.
    """
    outputs = tuple(find_outputs(graph, inputs, axes_of, inner=inner, before=before))
    by_name = {each.layer.name: each for each in found}
    taps = {name: each.tap for name, each in by_name.items()}
    reading = Reading(
        layers=tuple(each.layer for each in found),
        taps=taps,
        reasons={name: each.reason for name, each in by_name.items()},
        inputs=inputs,
        outputs=outputs,
        answer=choose_answer(outputs, AUTOMATIC),
        kernels={name: each.kernel for name, each in by_name.items() if each.kernel is not None},
        chains=find_chains(graph, taps),
        scalings=find_scalings(graph, axes_of),
        invariance=find_invariance(graph),
        nodes={name: each.nodes for name, each in by_name.items() if each.nodes},
        places={name: each.place for name, each in by_name.items() if each.place},
        operations={n: each.operation for n, each in by_name.items() if each.operation is not None},
        facts=graph.facts,
        open_values=tuple(_find_open_values(graph)),
        folded=folded,
    )
    return ModelGraph(model, reading, graph)


def _find_open_values(graph: Graph) -> Iterator[str]:
    """Activations that something reads, or that are given out, of which a size is unknown."""
    if graph.facts is None:
        return
    for name, kind in graph.kind.items():
        if kind is Kind.ACTIVATION and (graph.consumers[name] or name in graph.outputs):
            shape = graph.shape(name)
            if (shape is None or None in shape) and graph.is_tensor(name):
                yield name
