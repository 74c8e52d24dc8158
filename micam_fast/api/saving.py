"""Explanations to files, one function for each format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.api.explanation import Explanation
from micam_fast.core.output_files import (
    archive_name,
    atomic_file,
    file_stem,
    make_folder,
    make_own_folder,
    unique_stem,
)
from micam_fast.diagrams.dot import diagram_source
from micam_fast.diagrams.encoders import encode_picture, write_pdf, write_png
from micam_fast.diagrams.heading import fit_header, legend_lines
from micam_fast.diagrams.labels import label_lines
from micam_fast.diagrams.marks import Drawing, Filling, Mark, move
from micam_fast.diagrams.sheet import Sheet, compose_tile, edges, node_specs
from micam_fast.diagrams.style import Style, check_png_size, choose_writer
from micam_fast.diagrams.tiles import draw_tile


def save(explanation: Explanation, path: Path, style: Style) -> Path:
    """Write an explanation in the format that the path's suffix names; see `Explanation.save`."""
    choose_writer(_WRITERS, path)(explanation, path, style)
    return path


def files_of(explanation: Explanation, path: Path) -> list[Path]:
    """All files that `save` or `save_tiles` made at a path, its folder of tiles among them."""
    if path.suffix.lower() == ".dot":
        folder = _dot_folder(path)
        return [path, *(folder / name for name in _tile_names(explanation).values())]
    if path.name.endswith("_tiles"):
        return [path / name for name in (*_tile_names(explanation).values(), "strip.png")]
    return [path]


def header_lines(explanation: Explanation) -> list[str]:
    """What stands above the diagram: model, sample, label if known, prediction."""
    lines = [explanation.scene.model]
    if explanation.sample:
        lines.append(f"sample: {explanation.sample}")
    if explanation.label is not None:
        lines.append(f"label: {explanation.label}")
    if explanation.prediction is not None:
        lines.append(f"prediction: {explanation.prediction}")
    low, high = explanation.global_range
    lines.append(f"all layers: min {low:.6g}, max {high:.6g}")
    return fit_header(lines)


def svg_text(explanation: Explanation, style: Style) -> str:
    """The diagram as SVG text."""
    sheet, fillings = _sheet(explanation, style, native=True)
    return sheet.svg.write(fillings)


def save_tiles(explanation: Explanation, folder: Path, style: Style) -> Path:
    """Write each layer's tile with its label as a PNG, and all of them in one vertical strip."""
    make_folder(folder)
    drawings = [
        compose_tile(
            layer,
            index,
            explanation.maps[layer.name],
            input_size=explanation.input_size,
            look=style.look,
            scale=style.scale,
        )
        for index, layer in enumerate(explanation.scene.layers)
        if layer.name in explanation.maps
    ]
    names = _tile_names(explanation)
    for drawing, name in zip(drawings, names.values(), strict=True):
        with atomic_file(folder / name) as file:
            write_png(drawing, file, style.compress_level)
    with atomic_file(folder / "strip.png") as file:
        write_png(_strip(drawings, explanation.scene.model), file, style.compress_level)
    return folder


def _strip(drawings: list[Drawing], title: str) -> Drawing:
    marks: list[Mark] = []
    top = 0.0
    for drawing in drawings:
        marks.extend(move(mark, 0, top) for mark in drawing.marks)
        top += drawing.height
    return Drawing(max(drawing.width for drawing in drawings), top, tuple(marks), title)


def _sheet(explanation: Explanation, style: Style, *, native: bool) -> tuple[Sheet, list[Filling]]:
    """What the diagram shares with those of other samples, and what this one brings."""
    header = header_lines(explanation)
    sheet = explanation.scene.sheet(
        explanation.maps,
        header,
        input_size=explanation.input_size,
        look=style.look,
        rankdir=style.rankdir,
        scale=style.scale,
        native=native,
    )
    return sheet, sheet.fillings(explanation.maps, header)


def _save_png(explanation: Explanation, path: Path, style: Style) -> None:
    sheet, fillings = _sheet(explanation, style, native=False)
    check_png_size(sheet.template.width, sheet.template.height, style.scale)
    with atomic_file(path) as file:
        sheet.png.write(fillings, file, style.compress_level)


def _save_svg(explanation: Explanation, path: Path, style: Style) -> None:
    text = svg_text(explanation, style)
    with atomic_file(path) as file:
        file.write(text.encode())


def _save_pdf(explanation: Explanation, path: Path, style: Style) -> None:
    sheet, fillings = _sheet(explanation, style, native=True)
    with atomic_file(path) as file:
        write_pdf(sheet.template.fill(fillings), file)


def _save_npz(explanation: Explanation, path: Path, style: Style) -> None:
    arrays = {
        "global_range": np.array(explanation.global_range),
        "prediction": _answer(explanation),
    }
    for layer, each in explanation.maps.items():
        name = archive_name(layer)
        arrays[f"cam/{name}"] = each.cam
        arrays[f"rgba/{name}"] = each.rgba
        arrays[f"range/{name}"] = np.array(each.range)
    with atomic_file(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def _answer(explanation: Explanation) -> NDArray[Any]:
    """Probabilities, else the raw output, else nothing."""
    if explanation.prediction is not None:
        return explanation.prediction.probabilities
    return np.empty(0) if explanation.output is None else explanation.output


def _save_dot(explanation: Explanation, path: Path, style: Style) -> None:
    """Write the tiles into a folder beside the file, then the text that shows them."""
    folder = make_own_folder(_dot_folder(path))
    names = _tile_names(explanation)
    layers = explanation.scene.layers
    for index, layer in enumerate(layers):
        if layer.name in names:
            tile = draw_tile(
                explanation.maps[layer.name],
                index,
                explanation.input_size,
                style.look,
                scale=style.scale,
            )
            with atomic_file(folder / names[layer.name]) as file:
                file.write(encode_picture(tile, style.compress_level))
    text = diagram_source(
        node_specs(layers, explanation.maps),
        edges(layers),
        labels={
            layer.name: label_lines(layer, explanation.maps.get(layer.name)) for layer in layers
        },
        pictures={name: f"{folder.name}/{file}" for name, file in names.items()},
        header=[*header_lines(explanation), *legend_lines()],
        rankdir=style.rankdir,
        folder=str(path.resolve().parent) if style.tiles_from is None else style.tiles_from,
    )
    with atomic_file(path) as file:
        file.write(text.encode())


def _save_html(explanation: Explanation, path: Path, style: Style) -> None:
    from micam_fast.viewer import write_page

    write_page(path, [explanation], look=style.look, rankdir=style.rankdir)


def _dot_folder(path: Path) -> Path:
    return path.with_name(f"{unique_stem(path.stem, longest=210)}_dot")


def _tile_names(explanation: Explanation) -> dict[str, str]:
    return {
        layer.name: f"{index:03d}_{file_stem(layer.name)}.png"
        for index, layer in enumerate(explanation.scene.layers)
        if layer.name in explanation.maps
    }


_WRITERS: dict[str, Callable[[Explanation, Path, Style], None]] = {
    "png": _save_png,
    "svg": _save_svg,
    "npz": _save_npz,
    "pdf": _save_pdf,
    "dot": _save_dot,
    "html": _save_html,
}
FORMATS = (*_WRITERS, "tiles")
