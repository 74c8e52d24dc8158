"""Layers of a file that this project exported: as its notes say, checked against its graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Axes, Geometry
from micam_fast.models.onnx.annotations import LayerNote, Weight
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.kernels import Weights, check_geometry, check_groups
from micam_fast.models.onnx.limits import LONGEST_NAME, shown
from micam_fast.models.onnx.model_graph import ModelGraph, assemble, read_inputs


def read_annotated(model: OnnxFile, notes: Sequence[LayerNote]) -> ModelGraph:
    """The model as its export describes it, by the notes on its layers.

    Raises
    ------
    ModelError
        If the notes speak of what the graph does not hold: another program has changed it.
    """
    graph = Graph(model)
    weights = {}
    for note in notes:
        try:
            _check(graph, note)
            if note.kernels:
                weights[note.layer.name] = _read_weights(graph, note)
        except (ValueError, TypeError, LookupError) as error:
            raise ModelError(
                f"model {model.name!r}: layer {shown(note.layer.name)!r} is not in the graph as "
                f"the export left it ({shown(str(error))}); export the model again"
            ) from None
    names = [note.layer.name for note in notes]
    known = set(names)
    strangers = [each for note in notes for each in note.layer.inputs if each not in known]
    if not notes or len(known) < len(names) or strangers:
        raise ModelError(
            f"model {model.name!r}: what the export wrote of its layers does not fit together; "
            "export the model again"
        )
    taps = {note.layer.name: note.tap for note in notes}
    axes = {tap.value: tap.axes for tap in reversed(taps.values())}

    def axes_of(name: str) -> Axes:
        return axes.get(name, Axes(0, None))

    inputs = read_inputs(model, graph, lambda name, shape: axes_of(name).completed(len(shape)))
    layers = [note.layer for note in notes]
    return assemble(model, graph, layers, taps, tuple(inputs), weights, axes_of)


def _check(graph: Graph, note: LayerNote) -> None:
    """Raise what `read_annotated` explains if the graph does not hold what a note says."""
    tap = note.tap
    longest = max(map(len, (note.layer.name, note.layer.op_type, note.layer.class_label)))
    if longest > LONGEST_NAME:
        raise ValueError(f"a name of {longest:,} characters, at most {LONGEST_NAME:,} are read")
    for value in (tap.value, *([] if tap.source is None else [tap.source])):
        if graph.kind.get(value) is not Kind.ACTIVATION:
            raise ValueError(f"no activation {value!r}")
    shape = graph.shape(tap.value)
    if shape is not None:
        places = [*(tap.shown or ()), tap.axes.channel or 0, tap.axes.batch or 0]
        if not all(0 <= axis < max(1, len(shape)) for axis in places):
            raise ValueError(f"{tap.value!r} has {len(shape)} axes")
    if bool(note.kernels) != (tap.geometry is not None):
        raise ValueError("a kernel without its geometry, or the other way round")
    if tap.geometry is not None:
        _check_geometry(tap.geometry, note)


def _check_geometry(geometry: Geometry, note: LayerNote) -> None:
    rank = len(note.kernels[0].shape) - 2
    check_geometry(geometry, rank)
    check_groups(geometry, note.kernels[0].shape)
    if note.tap.squeezed is not None:
        raise ValueError("a squeezed axis, which no export writes")
    shapes = (None if note.bias is None else note.bias.shape), note.layer.bias_shape
    sizes = [None if shape is None else math.prod(shape) for shape in shapes]
    if sizes[0] != sizes[1]:
        raise ValueError("a bias of another size than the layer's")


def _read_weights(graph: Graph, note: LayerNote) -> Weights:
    """Names of the weights, whose sizes must be those that the note says."""
    for weight in (*note.kernels, *([] if note.bias is None else [note.bias])):
        _check_weight(graph, weight)
    kernel, *others = note.kernels
    return Weights(
        kernel.value,
        None if note.bias is None else note.bias.value,
        kernel_shape=kernel.shape,
        pointwise=others[0].value if others else None,
    )


def _check_weight(graph: Graph, weight: Weight) -> None:
    if not graph.is_constant(weight.value):
        raise ValueError(f"no weight {weight.value!r}")
    found = [size for size in graph.constant_shape(weight.value) if size != 1]
    if found != [size for size in weight.shape if size != 1]:
        raise ValueError(f"weight {weight.value!r} of another size")
