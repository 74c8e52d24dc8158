"""What every picture of a sample has: its lines above the diagram, its tiles on the template."""

from __future__ import annotations

from micam_fast.core.choices import EVERYTHING, Detail
from micam_fast.core.output_files import file_stem
from micam_fast.core.texts import count_of
from micam_fast.diagrams.diagram_template import DiagramTemplate
from micam_fast.diagrams.heading import fit_header
from micam_fast.diagrams.marks import Filling
from micam_fast.diagrams.numbers import show_range
from micam_fast.diagrams.poster.sample_content import SampleContent
from micam_fast.diagrams.poster.template import PosterTemplate
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style


def header_lines(shown: Shown, detail: Detail = EVERYTHING) -> list[str]:
    """What stands above the diagram: model, sample, label if known, prediction, what is drawn."""
    lines = [shown.scene.model]
    if shown.sample:
        lines.append(f"sample: {shown.sample}")
    if shown.label is not None:
        lines.append(f"label: {shown.label}")
    if shown.prediction is not None:
        lines.append(f"prediction: {shown.prediction}")
    low, high = show_range(*shown.global_range)
    lines.append(f"all maps: min {low}, max {high}")
    if not detail.whole:
        lines.append(_drawn_line(shown, detail))
    return fit_header(lines)


def _drawn_line(shown: Shown, detail: Detail) -> str:
    """How much of the network is drawn."""
    nodes = shown.scene.nodes(frozenset(shown.maps), detail)
    line = f"drawn: {count_of(len(nodes), 'node')} of {count_of(len(shown.scene.layers), 'layer')}"
    if detail.depth is not None:
        line += f"; modules of depth {detail.depth} are one node, by the map of their last layer"
    if any(link.hidden for node in nodes for link in node.links):
        line += "; dotted edges lead through others, and ways past a node are left out"
    return line


def fill_template(
    shown: Shown, style: Style, *, native: bool
) -> tuple[DiagramTemplate | PosterTemplate, list[Filling]]:
    """What the diagram or poster shares with those of other samples, and what this one brings.

    With `native`, for formats that enlarge by themselves, pictures have a pixel for each cell, and
    a poster is of the page's own size.
    """
    scene, maps, size = shown.scene, shown.maps, shown.input_size
    nodes = scene.nodes(frozenset(maps), style.detail)
    if style.is_poster(len(nodes)):
        scale = 1.0 if native else style.scale_png
        content = SampleContent(shown)

        def make() -> PosterTemplate:
            return PosterTemplate(
                nodes, content, model=scene.model, input_size=size, style=style, scale=scale
            )

        poster = scene.keep(maps, (PosterTemplate, size, style, scale), make)
        return poster, poster.fillings(content)
    header = header_lines(shown, style.detail)
    template = scene.template(maps, header, input_size=size, style=style, native=native)
    return template, template.fillings(maps, header)


def tile_names(shown: Shown) -> dict[str, str]:
    """Names of the tiles' files by layer name."""
    return {
        layer.name: f"{index:03d}_{file_stem(layer.name)}.png"
        for index, layer in enumerate(shown.scene.layers)
        if layer.name in shown.maps
    }
