"""Each layer's tile with its label as a PNG, and all of them in one vertical strip."""

from __future__ import annotations

from pathlib import Path

from micam_fast.core.output_files import atomic_file, make_own_folder
from micam_fast.diagrams.diagram_template import compose_tile
from micam_fast.diagrams.encoders import write_png
from micam_fast.diagrams.filling import tile_names
from micam_fast.diagrams.marks import Drawing, Mark, move
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the folder, and return the paths of its files."""
    folder = make_own_folder(path)
    drawings = [
        compose_tile(
            layer,
            index,
            shown.maps[layer.name],
            input_size=shown.input_size,
            style=style,
        )
        for index, layer in enumerate(shown.scene.layers)
        if layer.name in shown.maps
    ]
    paths = [folder / name for name in tile_names(shown).values()]
    for drawing, tile in zip(drawings, paths, strict=True):
        with atomic_file(tile) as file:
            write_png(drawing, file, style.compress_level)
    strip = folder / "strip.png"
    with atomic_file(strip) as file:
        write_png(_strip(drawings, shown.scene.model), file, style.compress_level)
    return [*paths, strip]


def _strip(drawings: list[Drawing], title: str) -> Drawing:
    marks: list[Mark] = []
    top = 0.0
    for drawing in drawings:
        marks.extend(move(mark, 0, top) for mark in drawing.marks)
        top += drawing.height
    return Drawing(max(drawing.width for drawing in drawings), top, tuple(marks), title)
