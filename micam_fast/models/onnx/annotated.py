"""Layers of a file that this project exported: as its notes say, checked against its graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Axes, Geometry, Reason
from micam_fast.models.onnx.annotations import LayerNote, Weight
from micam_fast.models.onnx.answers import ModelOutput
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.kernels import Weights, check_geometry, check_groups
from micam_fast.models.onnx.limits import LONGEST_NAME, MOST_AXES, shown
from micam_fast.models.onnx.model_graph import FoundLayer, ModelGraph, assemble, read_inputs
from micam_fast.models.onnx.quantization import is_quantized

_NOTED = Reason("the export's notes say so", "the export's notes say so")
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def read_annotated(
    model: OnnxFile,
    notes: Sequence[LayerNote],
    facts: Facts | None,
    before: Sequence[ModelOutput] = (),
) -> ModelGraph:
    """The model as its export describes it, by the notes on its layers, for the shapes of a run.

    Raises
    ------
    ModelError
        If the notes speak of what the graph does not hold: another program has changed it.
    """
    graph = Graph(model, facts)
    weights = {}
    for note in notes:
        try:
            _check(graph, note)
            if note.kernels:
                weights[note.layer.name] = _read_weights(graph, note)
        except (ValueError, TypeError, LookupError) as error:
            remedy = "export the model again"
            if is_quantized(model.proto):
                remedy = (
                    "a tool has quantized the file since: delete the metadata_props and the inner "
                    "outputs of the exported file before it is quantized"
                )
            raise ModelError(
                f"model {model.name!r}: layer {shown(note.layer.name)!r} is not in the graph as "
                f"the export left it ({shown(str(error))}); {remedy}"
            ) from None
    names = [note.layer.name for note in notes]
    known = set(names)
    strangers = [each for note in notes for each in note.layer.inputs if each not in known]
    if not notes or len(known) < len(names) or strangers:
        raise ModelError(
            f"model {model.name!r}: what the export wrote of its layers does not fit together; "
            "export the model again"
        )
    axes = {note.tap.value: note.tap.axes for note in reversed(notes)}

    def axes_of(name: str) -> Axes:
        return axes.get(name, Axes(0, None))

    inputs = read_inputs(model, graph, lambda name: axes_of(name).completed(graph.rank(name) or 0))
    found = [
        FoundLayer(note.layer, note.tap, _NOTED, weights.get(note.layer.name)) for note in notes
    ]
    # The export gives out each layer's value behind the model's own outputs.
    inner = frozenset(name for name in graph.outputs[1:] if graph.consumers.get(name))
    return assemble(model, graph, found, tuple(inputs), axes_of, inner=inner, before=before)


def _check(graph: Graph, note: LayerNote) -> None:
    """Raise what `read_annotated` explains if the graph does not hold what a note says."""
    tap = note.tap
    longest = max(map(len, (note.layer.name, note.layer.op_type, note.layer.class_label)))
    if longest > LONGEST_NAME:
        raise ValueError(f"a name of {longest:,} characters, at most {LONGEST_NAME:,} are read")
    for value in (tap.value, *([] if tap.source is None else [tap.source])):
        if graph.kind.get(value) is not Kind.ACTIVATION:
            raise ValueError(f"no activation {value!r}")
    _check_axes(graph, tap.value, (*(tap.shown or ()), tap.axes.channel or 0, tap.axes.batch or 0))
    if tap.axes.batch != 0:
        raise ValueError(f"the batch in axis {tap.axes.batch}, where no export has it")
    if bool(note.kernels) != (tap.geometry is not None):
        raise ValueError("a kernel without its geometry, or the other way round")
    if tap.geometry is not None:
        _check_geometry(tap.geometry, note)


def _check_axes(graph: Graph, value: str, axes: Sequence[int]) -> None:
    """Raise if a value cannot have these axes; whether it has is seen when it is there."""
    shape = graph.shape(value)
    most = MOST_AXES if shape is None else max(1, len(shape))
    if not all(0 <= axis < most for axis in axes):
        known = "at most " if shape is None else ""
        raise ValueError(f"{value!r} has {known}{most} axes")


def _check_geometry(geometry: Geometry, note: LayerNote) -> None:
    kernel = note.kernels[0].shape
    rank = len(kernel) - 2
    check_geometry(geometry, rank)
    check_groups(geometry, kernel)
    if note.tap.squeezed is not None:
        raise ValueError("a squeezed axis, which no export writes")
    if geometry.output_shape or (geometry.transpose and len(geometry.output_padding) != rank):
        raise ValueError("an output padding or shape that no export writes")
    if geometry.auto_pad not in ("NOTSET", "SAME_UPPER"):
        raise ValueError(f"the padding {geometry.auto_pad!r}, which no export writes")
    shapes = (None if note.bias is None else note.bias.shape), note.layer.bias_shape
    sizes = [None if shape is None else math.prod(shape) for shape in shapes]
    if sizes[0] != sizes[1]:
        raise ValueError("a bias of another size than the layer's")


def _check_channels(graph: Graph, geometry: Geometry, note: LayerNote) -> None:
    """Raise if kernels, bias and activation have not all as many channels."""
    tap, kernel = note.tap, note.kernels[0].shape
    channels = kernel[1] * geometry.groups if geometry.transpose else kernel[0]
    if len(note.kernels) > 1:
        point = note.kernels[1].shape
        fits = point[1:2] == (channels,) and math.prod(point) == point[0] * channels
        if geometry.transpose or len(note.kernels) > 2 or not fits:
            raise ValueError("a second kernel that does not fit the first one")
        channels = point[0]
    if note.bias is not None and note.layer.bias_shape != (channels,):
        raise ValueError(
            f"a bias of {math.prod(note.bias.shape):,} values, its kernel {channels:,} channels"
        )
    shape = graph.shape(tap.value)
    if shape is None:
        return
    if tap.axes.channel is None or len(shape) != len(kernel) + tap.added_axes:
        raise ValueError(f"a kernel of {len(kernel)} axes, its activation {len(shape)}")
    if shape[tap.axes.channel] not in (None, channels):
        raise ValueError(
            f"a kernel of {channels:,} channels, its activation {shape[tap.axes.channel]:,}"
        )


def _read_weights(graph: Graph, note: LayerNote) -> Weights:
    """Names of the weights, whose sizes must be those that the note says."""
    for weight in (*note.kernels, *([] if note.bias is None else [note.bias])):
        _check_weight(graph, weight)
    kernel, *others = note.kernels
    assert note.tap.geometry is not None
    _check_channels(graph, note.tap.geometry, note)
    if note.tap.source is not None:
        # The batch is the first axis.
        _check_axes(graph, note.tap.source, (note.tap.source_channel, note.tap.source_channel - 1))
    return Weights(
        kernel.value,
        None if note.bias is None else note.bias.value,
        kernel_shape=kernel.shape,
        pointwise=others[0].value if others else None,
    )


def _check_weight(graph: Graph, weight: Weight) -> None:
    if not graph.is_constant(weight.value):
        raise ValueError(f"no weight {weight.value!r}")
    held = graph.constants.held.get(weight.value)
    kind = graph.element_type(weight.value)
    if held is not None:
        kind = held.data_type if isinstance(held, onnx.TensorProto) else held.values.data_type
    if kind not in _FLOATS:
        raise ValueError(f"weight {weight.value!r} holds no real numbers")
    found = [size for size in graph.constant_shape(weight.value) if size != 1]
    if found != [size for size in weight.shape if size != 1]:
        raise ValueError(f"weight {weight.value!r} of another size")
