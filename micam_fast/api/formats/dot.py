"""A diagram as DOT text, with its tiles in a folder beside it."""

from __future__ import annotations

from pathlib import Path

from micam_fast.core.output_files import atomic_file, make_own_folder, unique_stem
from micam_fast.diagrams.diagram_template import edge_specs, node_specs
from micam_fast.diagrams.dot import diagram_source
from micam_fast.diagrams.encoders import encode_picture
from micam_fast.diagrams.filling import header_lines, tile_names
from micam_fast.diagrams.heading import legend_lines
from micam_fast.diagrams.labels import label_lines
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tile_rooms import tile_room
from micam_fast.diagrams.tiles import draw_tile
from micam_fast.maps.sample_maps import sized_layer


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the tiles, then the text that shows them; return the paths of all."""
    folder = make_own_folder(path.with_name(f"{unique_stem(path.stem, longest=210)}_dot"))
    names, look = tile_names(shown), style.look_for(shown.input_size)
    room = tile_room(look, shown.input_size)
    nodes = shown.scene.nodes(frozenset(shown.maps), style.detail)
    pictures = {node.key: names[node.key] for node in nodes if node.key in names}
    for node in nodes:
        if node.key in pictures:
            found = shown.maps[node.key]
            tile = draw_tile(found, node.index, shown.input_size, look, scale=style.scale)
            with atomic_file(folder / pictures[node.key]) as file:
                file.write(encode_picture(tile, style.compress_level))
    text = diagram_source(
        node_specs(nodes, shown.maps),
        edge_specs(nodes),
        labels={
            node.key: label_lines(
                sized_layer(node.layer, shown.maps), shown.maps.get(node.key), node.module, room
            )
            for node in nodes
        },
        pictures={key: f"{folder.name}/{file}" for key, file in pictures.items()},
        header=[*header_lines(shown, style.detail), *legend_lines()],
        rankdir=style.direction,
        folder=str(path.resolve().parent) if style.tiles_from is None else style.tiles_from,
    )
    with atomic_file(path) as file:
        file.write(text.encode())
    return [path, *(folder / name for name in pictures.values())]
