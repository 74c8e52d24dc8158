"""``micam-fast layers``: what counts as a layer."""

from __future__ import annotations

from pathlib import Path

import click

from micam_fast.commands.common import MODEL, note


@click.command("layers")
@MODEL
def show_layers(model_path: Path) -> None:
    """Print a table of the model's layers."""
    from micam_fast.layers import show_shape
    from micam_fast.loading import load_model

    rows = [("layer", "class", "inputs", "output", "kernel", "bias")]
    for layer in load_model(model_path, say=note).layers:
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
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
