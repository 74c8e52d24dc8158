"""What the page holds besides Bokeh's models: the model, its samples' maps, feature maps.

Numbers are binary and base64 in script elements that no browser runs; the rest is JSON. Neither can
end its element or become markup, whatever names hold.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from micam_fast.core.layers import Layer
from micam_fast.core.texts import one_line, shortened
from micam_fast.diagrams.labels import kind_of, label_parts, number_line, state_line
from micam_fast.diagrams.marks import DPI
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.numbers import show_value
from micam_fast.diagrams.places import DiagramLayout
from micam_fast.diagrams.row_names import rows_of_input
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.tile_rooms import PUBLISHED
from micam_fast.diagrams.tiles import NARROW, cell_centres, grid_size, tile_place
from micam_fast.maps.layer_map import LayerMap, lies_on_input
from micam_fast.maps.sample_maps import sized_layer
from micam_fast.maps.signed_palette import diverging
from micam_fast.viewer.feature_maps import FeatureMaps

LONGEST_SIDE = 64
"""Cells along the longer side of an isometric plane. SPEC's 150 give 22,500 squares for each layer,
and Bokeh paints about 400 squares in a millisecond (Chromium, 2 cores); with 64 it stays quick to
pan."""
_LONGEST_NAME = 300
_LONGEST_NOTE = 1000
_SCHEMA = 1
"""Counts up where the data of a page become others."""
_Texts = dict[tuple[str, ...], int]


@dataclass(frozen=True)
class PageData:
    """What a page shows.

    Attributes
    ----------
    explanations
        The samples; the first one's diagram is the page's.
    nodes, layout
        What it draws, and where.
    feature_maps
        For each sample, by layer name; empty where there are none.
    row_names, column_names
        Of the input's rows and columns.
    title
        Of the page.
    rankdir
        Which way the layout runs, ``"TB"`` or ``"LR"``.
    """

    explanations: Sequence[Shown]
    nodes: Sequence[Node]
    layout: DiagramLayout
    feature_maps: Sequence[Mapping[str, FeatureMaps]]
    row_names: Sequence[str] | None
    column_names: Sequence[str] | None
    title: str
    rankdir: str

    @property
    def sample_titles(self) -> list[str]:
        """What tells the samples apart: number, name and label, and the model if there are two."""
        models = {each.scene.model for each in self.explanations}
        titles = []
        for number, each in enumerate(self.explanations):
            label = "" if each.label is None else f", label {each.label}"
            model = f" by {each.scene.model}" if len(models) > 1 else ""
            titles.append(told(f"{number}: {each.sample or 'sample'}{model}{label}"))
        return titles

    @property
    def notes(self) -> list[str]:
        """What is known of all maps of a model, with its name if there are two."""
        models = {each.scene.model for each in self.explanations}
        notes: dict[str, None] = {}
        for each in self.explanations:
            by = f"{each.scene.model}: " if len(models) > 1 else ""
            notes.update((one_line(by + note, _LONGEST_NOTE), None) for note in each.notes)
        return list(notes)

    @property
    def layers(self) -> list[Layer]:
        """The layers whose maps the nodes show."""
        return [node.layer for node in self.nodes]


def told(text: str) -> str:
    """A name as the page shows it: in one line, and not longer than anybody reads."""
    return one_line(text, _LONGEST_NAME)


def _told_each(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else [told(name) for name in names]


def _pattern(name: str) -> str:
    """What chooses a layer on the command line, in characters that can be typed there."""
    plain = (each if each.isprintable() and each not in "[]*?," else "?" for each in name)
    return shortened("".join(plain), _LONGEST_NAME, "*")


def data_elements(data: PageData) -> Iterator[str]:
    """The script elements, for the end of the page's body."""
    # Labels, each held once: those of all samples are mostly the same.
    texts: _Texts = {}
    samples = [_describe_sample(each, data.nodes, texts) for each in data.explanations]
    names = {layer.name: index for index, layer in enumerate(data.layers)}
    features: list[dict[int, list[int]]] = []
    for number, (explanation, maps) in enumerate(
        zip(data.explanations, data.feature_maps, strict=True)
    ):
        yield _element(f"micam-cams-{number}", _all_cams(explanation, data.layers))
        shapes = {}
        for name, each in maps.items():
            if name in names:
                shapes[names[name]] = list(each.codes.shape)
                yield _element(f"micam-features-{number}-{names[name]}", _packed(each))
        features.append(shapes)
    yield _element("micam-palette", diverging().tobytes())
    input_size = data.explanations[0].input_size
    rows, columns = _page_grid(input_size)
    centres = cell_centres((rows, columns), input_size, 1.0).astype(np.float32)
    yield _element("micam-centres", centres.tobytes())
    described = {
        "schema": _SCHEMA,
        "rankdir": data.rankdir,
        "layers": [_describe_node(node, data, names) for node in data.nodes],
        "size": [data.layout.width, data.layout.height],
        "samples": samples,
        "titles": data.sample_titles,
        "notes": data.notes,
        "texts": list(texts),
        "features": features,
        "rowNames": _told_each(data.row_names),
        "columnNames": _told_each(data.column_names),
        "labelX": PUBLISHED.label_x,
        "isometric": {"rows": rows, "columns": columns, "dpi": DPI},
    }
    yield _json_element("micam-page", described)


def _describe_node(node: Node, data: PageData, index: Mapping[str, int]) -> dict[str, Any]:
    layer, box, maps = node.layer, data.layout.nodes[node.key], data.explanations[0].maps
    return {
        "name": told(node.title),
        "pattern": _pattern(layer.name),
        "kind": layer.class_label if node.module is None else kind_of(node.module, layer),
        "box": [box.x, box.y, box.width, box.height],
        "inputs": sorted({index[link.source] for link in node.links}),
        # Of the nodes that are drawn, a layer may read none.
        "isInput": not layer.inputs,
        "mapped": layer.name in maps,
        "label": label_parts(sized_layer(layer, maps), None, module=node.module)[0],
    }


def _describe_sample(explanation: Shown, nodes: Sequence[Node], texts: _Texts) -> dict[str, Any]:
    own = {layer.name: layer for layer in explanation.scene.layers}
    on_rows = rows_of_input(own.values(), explanation.maps, explanation.input_size)
    maps: list[dict[str, Any] | None] = []
    begin = 0
    for node in nodes:
        found = explanation.maps.get(node.key)
        if found is None:
            maps.append(None)
            continue
        own_node = replace(node, layer=own[node.key])
        described = _describe_map(own_node, found, begin, explanation.input_size, texts)
        maps.append({**described, "onRows": node.key in on_rows})
        begin += 0 if found.bad_values is not None else found.cam.size
    prediction = explanation.prediction
    return {
        "prediction": None if prediction is None else told(prediction.brief("predicted")),
        "range": list(explanation.global_range),
        "maps": maps,
    }


def _describe_map(
    node: Node, found: LayerMap, begin: int, input_size: tuple[int, int], texts: _Texts
) -> dict[str, Any]:
    before, numbers, after = label_parts(node.layer, found, module=node.module)
    after += filter(None, [state_line(found)])
    place = tile_place(found, "flat", 1.0)
    described: dict[str, Any] = {
        "size": list(found.cam.shape),
        "before": texts.setdefault(tuple(before), len(texts)),
        "after": texts.setdefault(tuple(after), len(texts)),
        "tile": [place.x, place.y, place.width, place.height],
        "flat": found.flat,
        "bad": found.bad_values is not None,
        "onInput": lies_on_input(node.layer, found, input_size),
    }
    if found.bad_values is None:
        # JSON keeps every bit of a float64, and the colours follow from these.
        described["begin"] = begin
        described["range"] = list(found.range)
        described["numbers"] = [number_line(found, line) for line in range(numbers)]
        if found.plain:
            described["plain"] = show_value(found.minimum) if found.constant else ""
    return described


def _all_cams(explanation: Shown, layers: Sequence[Layer]) -> bytes:
    """The finite maps' cells as little-endian float32, one after the other."""
    maps = (explanation.maps.get(layer.name) for layer in layers)
    return b"".join(
        found.cam.astype("<f4").tobytes()
        for found in maps
        if found is not None and found.bad_values is None
    )


def _packed(maps: FeatureMaps) -> bytes:
    """Minima, maxima and energies of the maps, then their codes."""
    numbers = (maps.lows, maps.highs, maps.energies)
    return b"".join(each.astype("<f4").tobytes() for each in numbers) + maps.codes.tobytes()


def _page_grid(input_size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of an isometric plane."""
    rows, columns = grid_size(input_size)
    if max(input_size) >= NARROW * min(input_size):
        # Rows of a narrow input stay apart.
        return min(rows, LONGEST_SIDE), min(columns, LONGEST_SIDE)
    factor = min(1.0, LONGEST_SIDE / max(rows, columns))
    return max(1, round(rows * factor)), max(1, round(columns * factor))


def _element(name: str, content: bytes) -> str:
    text = base64.b64encode(content).decode("ascii")
    return f'<script type="text/plain" id="{name}">{text}</script>\n'


def _json_element(name: str, content: Any) -> str:
    text = json.dumps(_finite(content), separators=(",", ":"), allow_nan=False)
    # Nothing in it can end the element or begin a comment.
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _finite(content: Any) -> Any:
    """The same without the numbers that JSON does not know."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
