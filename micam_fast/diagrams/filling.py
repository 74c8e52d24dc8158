"""What every picture of a sample has: its lines above the diagram, its tiles on the template."""

from __future__ import annotations

from micam_fast.core.output_files import file_stem
from micam_fast.diagrams.diagram_template import DiagramTemplate
from micam_fast.diagrams.heading import fit_header
from micam_fast.diagrams.marks import Filling
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style


def header_lines(shown: Shown) -> list[str]:
    """What stands above the diagram: model, sample, label if known, prediction."""
    lines = [shown.scene.model]
    if shown.sample:
        lines.append(f"sample: {shown.sample}")
    if shown.label is not None:
        lines.append(f"label: {shown.label}")
    if shown.prediction is not None:
        lines.append(f"prediction: {shown.prediction}")
    low, high = shown.global_range
    lines.append(f"all maps: min {low:.6g}, max {high:.6g}")
    return fit_header(lines)


def fill_template(
    shown: Shown, style: Style, *, native: bool
) -> tuple[DiagramTemplate, list[Filling]]:
    """What the diagram shares with those of other samples, and what this one brings."""
    header = header_lines(shown)
    template = shown.scene.template(
        shown.maps, header, input_size=shown.input_size, style=style, native=native
    )
    return template, template.fillings(shown.maps, header)


def tile_names(shown: Shown) -> dict[str, str]:
    """Names of the tiles' files by layer name."""
    return {
        layer.name: f"{index:03d}_{file_stem(layer.name)}.png"
        for index, layer in enumerate(shown.scene.layers)
        if layer.name in shown.maps
    }
