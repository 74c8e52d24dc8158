"""``micam-fast layers``: what counts as a layer."""

from __future__ import annotations

from pathlib import Path

import click

from micam_fast.cli.common import note
from micam_fast.cli.options import MODEL, trust_option
from micam_fast.core.texts import aligned


@click.command("layers")
@MODEL
@trust_option
def show_layers(model_path: Path, trust: bool) -> None:
    """Print a table of the model's layers."""
    from micam_fast.api.loading import load_model
    from micam_fast.core.layers import show_shape

    rows = [("layer", "class", "inputs", "output", "kernel", "bias")]
    for layer in load_model(model_path, trust=trust, say=note).layers:
        weights = (layer.kernel_shape, layer.bias_shape)
        kernel, bias = ("-" if shape is None else show_shape(shape) for shape in weights)
        inputs, output = ", ".join(layer.inputs) or "-", show_shape(layer.output_shape)
        rows.append((layer.name, layer.class_label, inputs, output, kernel, bias))
    for line in aligned(rows, texts=len(rows[0])):
        click.echo(line)
