"""Differences to files, one function for each format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from micam_fast.analyses.differences.comparison import Comparison
from micam_fast.analyses.differences.diagrams import compose_difference
from micam_fast.analyses.differences.labels import header_lines
from micam_fast.analyses.differences.layers import LayerDifference
from micam_fast.analyses.differences.posters import draw_poster, poster_nodes
from micam_fast.api.explanation import Explanation
from micam_fast.core.csv_writing import write_csv
from micam_fast.core.formats import format_of
from micam_fast.core.output_files import atomic_file
from micam_fast.diagrams.encoders import PngPage, SvgPage, write_pdf
from micam_fast.diagrams.marks import Filling, Template
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.diagrams.png_limit import check_png_size
from micam_fast.diagrams.style import Style
from micam_fast.maps.layer_map import LayerMap

CSV_HEADER = (
    "layer", "class", "rows", "columns", "relative_l2", "cosine", "correlation", "scale",
    "a_min", "a_max", "b_min", "b_max", "difference_min", "difference_max",
    "largest_row", "largest_column", "note", "b_layer", "b_class", "snr_db", "relative_error",
    "saturated", "changes", "added_error",
)  # fmt: skip
"""``rows`` and ``columns`` are the map's size; ``largest_...`` where |B - A| is largest, by the
names of the input's rows and columns where the map lies on its grid, else by number from 0;
``snr_db``, ``relative_error`` and ``saturated`` are of the activations, see `Noise`."""


def save(difference: Comparison, path: Path, style: Style) -> Path:
    """Write a difference in the format that the path's suffix names; see `Difference.save`."""
    _WRITERS[format_of(path, "difference")](difference, path, style)
    return path


def svg_text(difference: Comparison, style: Style) -> str:
    """The diagram or poster as SVG text."""
    template, fillings = _compose(difference, style, native=True)
    return SvgPage(template).write(fillings)


def _compose(
    difference: Comparison, style: Style, *, native: bool
) -> tuple[Template, list[Filling]]:
    """The diagram or poster; with `native`, for formats that enlarge by themselves."""
    if style.is_poster(len(poster_nodes(difference))):
        poster, fillings = draw_poster(difference, style, 1.0 if native else style.scale_png)
        return poster.blank, fillings
    return compose_difference(difference, style.direction, style.scale, native=native)


def _save_png(difference: Comparison, path: Path, style: Style) -> None:
    template, fillings = _compose(difference, style, native=False)
    check_png_size(template.width, template.height, style.scale)
    with atomic_file(path) as file:
        PngPage(template).write(fillings, file, style.compress_level)


def _save_svg(difference: Comparison, path: Path, style: Style) -> None:
    text = svg_text(difference, style)
    with atomic_file(path) as file:
        file.write(text.encode())


def _save_pdf(difference: Comparison, path: Path, style: Style) -> None:
    template, fillings = _compose(difference, style, native=True)
    with atomic_file(path) as file:
        write_pdf(template.fill(fillings), file)


def _save_html(difference: Comparison, path: Path, style: Style) -> None:
    from micam_fast.viewer import View

    # The page itself says which is A and which B.
    order = "" if difference.permutation is None else f", {difference.permutation}"
    sides = [
        replace(each, sample=f"{each.sample or each.scene.model}{told}")
        for each, told in ((difference.a, ""), (_named_as_a(difference), order))
    ]
    names, title = difference.names, header_lines(difference)[0]
    page = View(sides, None, names.rows, names.columns, True, title, rankdir=style.direction)
    page.save(path)


def _named_as_a(difference: Comparison) -> Explanation:
    """B, its layers by the names of A's, by which the page matches them."""
    b, partners = difference.b, {}
    for name, each in difference.layers.items():
        if each.difference is not None and each.partner is not None:
            partners[name] = each.partner
    if all(name == each.name for name, each in partners.items()):
        return b
    layers = tuple(replace(each, name=name, inputs=()) for name, each in partners.items())
    maps = {name: b.maps[each.name] for name, each in partners.items()}
    return replace(b, maps=maps, scene=ModelDiagram(b.scene.model, layers))


def _save_csv(difference: Comparison, path: Path, style: Style) -> None:
    rows = (_csv_row(difference, each) for each in difference.layers.values())
    write_csv(path, CSV_HEADER, rows)


def _csv_row(difference: Comparison, each: LayerDifference) -> list[object]:
    layer = each.layer
    size = each.a.cam.shape if each.a is not None and each.sizes_agree else (None, None)
    extremes: Sequence[object] = (None, None)
    where: Sequence[object] = (None, None)
    if each.difference is not None:
        extremes = float(each.difference.min()), float(each.difference.max())
    if (place := each.largest) is not None:
        named = zip(place, difference.name_cell(each, *place), strict=True)
        where = [index if name is None else name for index, name in named]
    measures = map(_known, (each.relative_l2, each.cosine, each.correlation))
    return [
        layer.name, layer.class_label, *size, *measures, each.bound, *_range(each.a),
        *_range(each.b), *extremes, *where, each.note or None, *_of_b(each), *_noise(each),
        "; ".join(each.changes) or None, _known(each.added),
    ]  # fmt: skip


def _of_b(each: LayerDifference) -> tuple[str | None, str | None]:
    found = each.layer if each.a is None else each.partner
    return (None, None) if found is None or each.b is None else (found.name, found.class_label)


def _noise(each: LayerDifference) -> tuple[float | None, float | None, float | None]:
    noise = each.noise
    if noise is None:
        return None, None, None
    return _known(noise.snr_db), _known(noise.relative_error), noise.saturated


def _known(value: float) -> float | None:
    """A number, or an empty cell where it is undefined."""
    return None if math.isnan(value) else value


def _range(found: LayerMap | None) -> Iterator[float | None]:
    if found is None:
        return iter((None, None))
    return map(_known, (found.minimum, found.maximum))


_WRITERS: dict[str, Callable[[Comparison, Path, Style], None]] = {
    "png": _save_png,
    "svg": _save_svg,
    "pdf": _save_pdf,
    "html": _save_html,
    "csv": _save_csv,
}
