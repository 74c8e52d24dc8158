"""``micam-fast layers``: what counts as a layer, and where its axes lie."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.common import note
from micam_fast.cli.options import MODEL, option, trust_option
from micam_fast.core.texts import aligned, count_of, first_of

if TYPE_CHECKING:
    from micam_fast.api.model import Model
    from micam_fast.core.activation_axes import ActivationAxes
    from micam_fast.core.layers import Layer, Shape
    from micam_fast.models.onnx import ModelGraph

_ASSUMED = "assumed"


@click.command("layers")
@MODEL
@option(
    "--shape",
    "shapes",
    metavar="[INPUT=]SIZES",
    multiple=True,
    help="Sizes of a sample like 3x224x224, where the model leaves them open.",
)
@option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON: each layer's path, sizes and axes, and what says where its axes lie.",
)
@trust_option
def show_layers(model_path: Path, shapes: tuple[str, ...], as_json: bool, trust: bool) -> None:
    """Print a table of the model's layers."""
    from micam_fast.api.loading import load_model

    model = load_model(model_path, trust=trust, say=note)
    graph = model.known_graph(_read_shapes(model, shapes)) if shapes else model.graph
    if as_json:
        lines = _json_lines(model.name, graph)
    else:
        _note_doubts(graph)
        lines = aligned(_rows(graph.layers), texts=6)
    for line in lines:
        click.echo(line)


def _read_shapes(model: Model, given: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of one sample by input name; an input of fixed sizes needs none."""
    from micam_fast.core.layers import fits_shape
    from micam_fast.samples.arrays import describe_input, sample_shape

    expected = {spec.name: sample_shape(spec) for spec in model.inputs}
    fixed = {name: tuple(size for size in shape if size) for name, shape in expected.items()}
    shapes = {name: sizes for name, sizes in fixed.items() if len(sizes) == len(expected[name])}
    for text in given:
        name, equals, sizes = text.rpartition("=")
        name = name if equals or len(expected) > 1 else model.inputs[0].name
        if name not in expected or not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", sizes):
            known = first_of(list(expected), 3)
            raise click.UsageError(
                f"--shape {text!r}: SIZES or INPUT=SIZES is expected, sizes like 3x224x224, and "
                f"INPUT one of {known}"
            )
        shapes[name] = tuple(int(size) for size in sizes.split("x"))
    for spec in model.inputs:
        if spec.name not in shapes or not fits_shape(shapes[spec.name], expected[spec.name]):
            raise click.UsageError(f"--shape does not tell the sizes of {describe_input(spec)}")
    return shapes


def _rows(layers: Sequence[Layer]) -> list[tuple[str, ...]]:
    from micam_fast.core.layers import show_shape

    rows: list[tuple[str, ...]] = [("layer", "class", "inputs", "output", "kernel", "bias")]
    for layer in layers:
        weights = (layer.kernel_shape, layer.bias_shape)
        kernel, bias = ("-" if shape is None else show_shape(shape) for shape in weights)
        inputs, output = ", ".join(layer.inputs) or "-", show_shape(layer.output_shape)
        rows.append((layer.name, layer.class_label, inputs, output, kernel, bias))
    return rows


def _note_doubts(graph: ModelGraph) -> None:
    """Name the layers whose channels may lie elsewhere."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for layer in graph.layers:
        view = _view(graph, layer.name, graph.graph.shape(graph.taps[layer.name].value))
        doubt = None if view is None else view.doubt(graph.reading.reasons[layer.name])
        if doubt is not None:
            found[doubt].append(layer.name)
    for doubt, names in found.items():
        note(f"{doubt} in {count_of(len(names), 'layer')}: {first_of(names, 3)}")


def _view(graph: ModelGraph, name: str, shape: Shape | None) -> ActivationAxes | None:
    """Axes of a layer's activation as far as its rank tells them; open sizes count as 1."""
    from micam_fast.core.activation_axes import single_batch_axis, view_activation

    if shape is None:
        return None
    tap, sizes = graph.taps[name], tuple(1 if size is None else size for size in shape)
    return view_activation(sizes, tap.axes, tap.form, single_batch_axis(sizes, tap.axes))


def _json_lines(model: str, graph: ModelGraph) -> Iterator[str]:
    """One object, with a line for each layer."""
    facts = graph.reading.facts
    fed = None if facts is None else {name: list(shape) for name, shape in facts.fed.items()}
    yield f'{{"model": {json.dumps(model)}, "shapes": {json.dumps(fed)}, "layers": ['
    for index, layer in enumerate(graph.layers):
        comma = "," if index + 1 < len(graph.layers) else ""
        yield json.dumps(_describe(graph, layer)) + comma
    yield "]}"


def _describe(graph: ModelGraph, layer: Layer) -> dict[str, Any]:
    tap, value = graph.taps[layer.name], graph.taps[layer.name].value
    own = graph.reading.nodes.get(layer.name)
    index = graph.graph.producer.get(value) if own is None else own[0]
    node = None if index is None else graph.graph.nodes[index]
    shape = graph.graph.shape(value)
    view = _view(graph, layer.name, shape)
    batch, channel = tap.axes.batch, tap.axes.channel
    channels = None if channel is None else [channel]
    if view is not None and view.channels:
        channels = list(view.channels)
    reason = graph.reading.reasons[layer.name]
    return {
        "name": layer.name,
        "class": layer.class_label,
        "inputs": layer.inputs,
        "path": layer.module if layer.module is not None or node is None else node.name or None,
        "module_class": layer.module_class,
        "onnx_name": layer.onnx_name,
        "domain": None if node is None else node.domain or "ai.onnx",
        "operator": None if node is None else node.op_type,
        "value": value,
        "sizes": shape,
        "axes": {
            "batch": batch,
            "channels": channels,
            "spatial": None if view is None else view.space,
        },
        "why": {
            "batch": None if batch is None and reason.batch is None else reason.batch or _ASSUMED,
            "channels": None if channels is None else reason.channels or _ASSUMED,
            "contradiction": reason.contradiction,
        },
        "kernel": layer.kernel_shape,
        "bias": layer.bias_shape,
    }
