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
        rows.append(
            (
                layer.name,
                layer.class_label,
                ", ".join(layer.inputs) or "-",
                show_shape(layer.output_shape),
                show_shape(layer.kernel_shape) if layer.kernel_shape is not None else "-",
                show_shape(layer.bias_shape) if layer.bias_shape is not None else "-",
            )
        )
    for line in aligned(rows, texts=len(rows[0])):
        click.echo(line)
