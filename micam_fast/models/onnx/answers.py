"""Which of a model's outputs says a class, and of which numbers nobody can tell.

A Softmax makes probabilities of classes. What a dense layer makes may be logits or landmarks; so
may what a convolution makes that reads one position alone (a classifier that was made fully
convolutional). A mean over the positions of a convolution is no dense layer: such a model names its
output, or ends in a Softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx

from micam_fast.core.errors import PredictionError
from micam_fast.core.layers import Axes, ModelInput, Shape
from micam_fast.core.prediction import NO_PREDICTION, Form, PredictionChoice, wrong_names
from micam_fast.core.texts import first_of
from micam_fast.models.onnx.graph import Graph, Kind, attributes, is_training
from micam_fast.models.onnx.operator_row import Operator
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.sample_axes import find_sample_axes

_MOST_NAMED = 12
_FLOATS = (
    onnx.TensorProto.UNDEFINED, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
)  # fmt: skip
_SOFTMAXES: Mapping[str, Literal["probabilities", "log probabilities"]] = {
    "LogSoftmax": "log probabilities",
    "QLinearSoftmax": "probabilities",
    "Softmax": "probabilities",
}
OutputForm = Literal["probabilities", "log probabilities", "scores", "no classes", "unknown"]
_PRODUCTS = ("gemm", "product", "quantized gemm")
_WHOLE_PRODUCTS = ("ConvInteger", "MatMulInteger")
_NO_AXIS = -1


@dataclass(frozen=True)
class ModelOutput:
    """A graph output that is a tensor made from the model's input.

    Attributes
    ----------
    value, axes
        Its ONNX value, and where batch and channels lie in it.
    shape
        As far as it is known.
    maker
        The operator that makes it, bookkeeping seen through; no text for one that is unknown.
    form
        ``"probabilities"`` and ``"log probabilities"`` of classes, the ``"scores"`` of a dense
        layer, ``"no classes"``; ``"unknown"`` while sizes are missing that decide it.
    inner
        Whether it is an output only so that its layer's map can be made.
    """

    value: str
    axes: Axes
    shape: Shape | None
    maker: str
    form: OutputForm
    inner: bool = False


@dataclass(frozen=True)
class Answer:
    """The output that a prediction is read from.

    Attributes
    ----------
    value, axes
        As in `ModelOutput`.
    form
        What its numbers are taken for.
    class_names
        As in `PredictionChoice`.
    """

    value: str
    axes: Axes
    form: Form
    class_names: tuple[str, ...] = ()


def find_outputs(
    graph: Graph,
    inputs: Sequence[ModelInput],
    axes_of: Callable[[str], Axes],
    *,
    inner: Collection[str] = (),
    before: Sequence[ModelOutput] = (),
) -> Iterator[ModelOutput]:
    """What each output of a graph may say, in their order.

    `axes_of` gives a value's axes by its name; `inner` are outputs for a layer's map alone.
    `before` are the outputs as they were found without the sizes of a sample: what these decide
    does not depend on a sample's number of boxes.
    """
    decided = {each.value: each.form for each in before if each.form != "unknown"}
    names = [name for name in dict.fromkeys(graph.outputs) if graph.is_tensor(name)]
    names = [name for name in names if graph.kind[name] is Kind.ACTIVATION]
    reader = _Reader(graph, *find_sample_axes(graph, inputs, names))
    is_open = any(e.axes.batch is not None and e.shape[e.axes.batch] is None for e in inputs)
    for name in names:
        axes, maker = axes_of(name), reader.find_maker(name)
        form = decided.get(name, reader.find_form(name))
        shape = graph.shape(name)
        if shape is not None and is_open:
            shape = tuple(None if axis == axes.batch else size for axis, size in enumerate(shape))
        yield ModelOutput(name, axes, shape, maker, form, name in inner)


def choose_answer(outputs: Sequence[ModelOutput], choice: PredictionChoice) -> Answer | None:
    """The output that a prediction is read from, by the user's choice or by the graph."""
    if choice.output == NO_PREDICTION:
        return None
    if choice.output is not None:
        found = next((each for each in outputs if each.value == choice.output), None)
    else:
        own = [each for each in outputs if not each.inner]
        found = next((each for each in own if each.form in _SOFTMAXES.values()), None)
        if found is None:
            found = next((each for each in own if each.form == "scores"), None)
        if found is None and choice.says_logits:
            vectors = [each for each in own if count_classes(each.shape) != 0]
            found = vectors[0] if len(vectors) == 1 else None
    if found is None:
        return None
    if found.form == "probabilities" or found.form == "log probabilities":
        return Answer(found.value, found.axes, found.form, choice.class_names)
    form: Form = "logits" if choice.says_logits else "scores"
    return Answer(found.value, found.axes, form, choice.class_names)


def check_choice(name: str, outputs: Sequence[ModelOutput], choice: PredictionChoice) -> None:
    """Raise if what a user says of the prediction does not fit the model of this name.

    Raises
    ------
    PredictionError
        With what the model has instead.
    """
    chosen = next((each for each in outputs if each.value == choice.output), None)
    named = sorted(outputs, key=lambda each: each.inner)
    listed = first_of([repr(each.value) for each in named], _MOST_NAMED)
    if choice.output == NO_PREDICTION:
        if choice.says_logits:
            raise PredictionError(
                f"prediction {NO_PREDICTION!r} claims no class, so that nothing can be logits or "
                "have class names; leave out one of the two"
            )
        return
    if choice.output is not None and chosen is None:
        raise PredictionError(
            f"model {name!r} has no output {choice.output!r} made from its input (must be one of "
            f"{listed}, or {NO_PREDICTION!r})"
        )
    if chosen is not None and count_classes(chosen.shape) == 0:
        raise PredictionError(
            f"output {chosen.value!r} of model {name!r} has the shape {_show(chosen.shape)}; a "
            "prediction needs one axis of classes beside the batch"
        )
    answer = choose_answer(outputs, choice)
    if answer is None:
        if choice.says_logits and all(each.shape is not None for each in outputs):
            raise PredictionError(
                f"model {name!r} has no output of which it is sure that its numbers are logits; "
                f"name one of {listed} as the prediction"
            )
        return
    if choice.logits and answer.form != "logits":
        raise PredictionError(
            f"output {answer.value!r} of model {name!r} is made by a Softmax: its numbers are "
            f"{answer.form} and no logits"
        )
    classes = count_classes(next(e.shape for e in outputs if e.value == answer.value))
    if choice.class_names and classes and len(choice.class_names) != classes:
        raise PredictionError(
            f"output {answer.value!r} of model {name!r}: "
            f"{wrong_names(len(choice.class_names), classes)}"
        )


def count_classes(shape: Shape | None) -> int | None:
    """Size of the one axis beside the batch that is not one; 0 if there is no such axis or more.

    ``None`` where the shape does not tell it.
    """
    if shape is None:
        return None
    axes = [size for size in shape[1:] if size != 1]
    return axes[0] if len(axes) == 1 else 0


def _show(shape: Shape | None) -> str:
    return "unknown" if shape is None else " x ".join(str(size or "?") for size in shape) or "()"


class _Reader:
    """Reads what makes the outputs of a graph."""

    def __init__(self, graph: Graph, sample_axes: Mapping[str, int], open_rows: set[str]) -> None:
        self._graph, self._axes, self._open = graph, sample_axes, open_rows
        self._origins: dict[tuple[str, str], str] = {}

    def find_maker(self, value: str) -> str:
        """The operator that makes a value, bookkeeping seen through."""
        node = self._maker(self._origin(value, "layer"))
        return "Input" if node is None else find_operator(node).name

    def find_form(self, value: str) -> OutputForm:
        """What the numbers of an output are."""
        graph = self._graph
        classes = count_classes(graph.shape(value))
        source = self._origin(value, "values")
        node = self._maker(source)
        made = _SOFTMAXES.get("" if node is None else find_operator(node).name)
        if classes == 0 or classes == 1 or graph.element_type(value) not in _FLOATS:
            return "no classes"
        dense = made is None and self._is_dense(source)
        if (made is None and not dense) or value in self._open:
            return "no classes"
        inner = self._class_axis(source)
        if inner == _NO_AXIS or self._axes.get(value, 0) != 0:
            return "no classes"
        if inner is None or graph.shape(value) is None or value not in self._axes:
            return "unknown"
        if made is None or node is None:
            return "unknown" if classes is None else "scores"
        return made if self._is_along(node, inner) else "no classes"

    def _class_axis(self, value: str) -> int | None:
        """The one axis beside the samples' that is not one; ``None`` if it is unknown."""
        shape, samples = self._graph.shape(value), self._axes.get(value)
        if shape is None or samples is None:
            return None
        axes = [axis for axis, size in enumerate(shape) if axis != samples and size != 1]
        return axes[0] if len(axes) == 1 else _NO_AXIS

    def _is_along(self, softmax: onnx.NodeProto, classes: int) -> bool:
        """Tell whether a Softmax has its sums along an axis, and along no other that is not one."""
        rank = self._graph.rank(softmax.output[0]) or 1
        given = attributes(softmax)
        since = find_operator(softmax).since
        # QLinearSoftmax says itself by which of the two it goes.
        newer = int(given.get("opset", self._graph.opset)) >= (since or 13)
        axis = int(given.get("axis", -1 if newer else 1)) % rank
        if newer:
            return axis == classes
        return self._axes[softmax.output[0]] < axis <= classes

    def _maker(self, value: str) -> onnx.NodeProto | None:
        graph = self._graph
        return graph.nodes[graph.producer[value]] if value in graph.producer else None

    def _origin(self, value: str, until: Literal["layer", "values"]) -> str:
        """The value from which another one comes by bookkeeping, or by keeping its values."""
        way = [value]
        while (node := self._maker(way[-1])) is not None:
            if (way[-1], until) in self._origins:
                way.append(self._origins[way[-1], until])
                break
            operator = find_operator(node)
            handed = operator.role != "layer"
            if until == "values":
                handed = self._keeps_values(node, operator)
            if not handed or not node.input or not node.input[0]:
                break
            way.append(node.input[0])
        for each in way:
            self._origins[each, until] = way[-1]
        return way[-1]

    def _keeps_values(self, node: onnx.NodeProto, operator: Operator) -> bool:
        if operator.name == "Dropout":
            return not is_training(self._graph, node)
        return operator.role != "layer" or operator.hands_on

    def _is_dense(self, value: str) -> bool:
        """Tell whether a product with constant weights makes a value, and a bias at most."""
        graph, biased = self._graph, False
        while (node := self._maker(value)) is not None:
            operator = find_operator(node)
            read = graph.activations(node)
            if operator.name == "Add" and len(node.input) == 2:
                if len(read) != 1 or biased:
                    return False
                biased = True
                value = self._origin(read[0], "values")
                continue
            if operator.name == "Mul":
                # Units of a product of whole numbers.
                makers = (self._maker(self._origin(name, "values")) for name in read)
                names = {find_operator(each).name for each in makers if each is not None}
                return not names.isdisjoint(_WHOLE_PRODUCTS)
            if "activation" in attributes(node):
                return False
            if operator.cost == "convolution":
                kernel = operator.kernel
                place = 1 if kernel is None else kernel.place
                return operator.name != "ConvTranspose" and graph.is_constant(node.input[place])
            if operator.cost in _PRODUCTS or operator.channels == "dense":
                return any(graph.is_constant(node.input[place]) for place in operator.factors)
            return False
        return False
