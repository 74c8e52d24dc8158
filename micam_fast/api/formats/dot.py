"""A diagram as DOT text, with its tiles in a folder beside it."""

from __future__ import annotations

from pathlib import Path

from micam_fast.core.output_files import atomic_file, make_own_folder, unique_stem
from micam_fast.diagrams.diagram_template import edges, node_specs
from micam_fast.diagrams.dot import diagram_source
from micam_fast.diagrams.encoders import encode_picture
from micam_fast.diagrams.filling import header_lines, tile_names
from micam_fast.diagrams.heading import legend_lines
from micam_fast.diagrams.labels import label_lines
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tiles import draw_tile
from micam_fast.maps.sample_maps import sized_layer


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the tiles, then the text that shows them; return the paths of all."""
    folder = make_own_folder(path.with_name(f"{unique_stem(path.stem, longest=210)}_dot"))
    names = tile_names(shown)
    layers = shown.scene.layers
    for index, layer in enumerate(layers):
        if layer.name in names:
            found = shown.maps[layer.name]
            tile = draw_tile(found, index, shown.input_size, style.look, scale=style.scale)
            with atomic_file(folder / names[layer.name]) as file:
                file.write(encode_picture(tile, style.compress_level))
    text = diagram_source(
        node_specs(layers, shown.maps),
        edges(layers),
        labels={
            layer.name: label_lines(sized_layer(layer, shown.maps), shown.maps.get(layer.name))
            for layer in layers
        },
        pictures={name: f"{folder.name}/{file}" for name, file in names.items()},
        header=[*header_lines(shown), *legend_lines()],
        rankdir=style.rankdir,
        folder=str(path.resolve().parent) if style.tiles_from is None else style.tiles_from,
    )
    with atomic_file(path) as file:
        file.write(text.encode())
    return [path, *(folder / name for name in names.values())]
