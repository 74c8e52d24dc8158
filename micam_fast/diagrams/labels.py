"""What is written beside a tile, and how it is made to fit."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from micam_fast.core.layers import Layer, Shape, show_shape
from micam_fast.core.texts import count_of, one_line, shortened
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.nodes import Holding
from micam_fast.diagrams.numbers import show_range
from micam_fast.diagrams.tile_rooms import PUBLISHED, TileRoom
from micam_fast.diagrams.tiles import stretched_side
from micam_fast.maps.layer_map import LayerMap

ELLIPSIS = "…"
_NO_ACTIVATION = "linear"
"""Keras' name of what changes nothing; most layers have it."""
_LONGEST = 500
"""Characters of a label's line; no picture has room for more, and a name may have any number."""


def label_lines(
    layer: Layer,
    found: LayerMap | None,
    module: Holding | None = None,
    room: TileRoom = PUBLISHED,
) -> list[str]:
    """The lines of a layer's label, its name first; a layer that was left out has no map."""
    before, numbers, after = label_parts(layer, found, module=module, room=room)
    if found is None:
        return before
    lines = [number_line(found, line) for line in range(numbers)]
    return [*before, *lines, *after, *filter(None, [state_line(found)])]


def label_parts(
    layer: Layer,
    found: LayerMap | None,
    *,
    module: Holding | None = None,
    room: TileRoom = PUBLISHED,
    thick_rows: bool = False,
) -> tuple[list[str], int, list[str]]:
    """Lines that are the same for all samples of the same shapes, and where the others stand.

    The layer may stand for a `module`; its tile has this `room`. With `thick_rows` the tile's rows
    are thicker than its columns.

    Returns
    -------
    before, numbers, after
        The lines before, how many lines `number_line` makes, and the lines after these.
    """
    lines = _layer_lines(layer, found) if module is None else _module_lines(module, layer, found)
    lines = [one_line(line, _LONGEST) for line in lines]
    if found is None:
        return lines, 0, []
    return _map_lines(lines, found, room, thick_rows)


def _layer_lines(layer: Layer, found: LayerMap | None) -> list[str]:
    lines = [layer.name, layer.class_label]
    input_shapes = layer.input_shapes if found is None else found.input_shapes
    output_line = _output_line(layer, found)
    if len(input_shapes) == 1 and _alike(input_shapes[0], _output_shape(layer, found)):
        output_line = f"I = {output_line}"
    elif input_shapes:
        lines.append(f"I: {_shapes(input_shapes)}")
    lines.append(output_line)
    if layer.activation and layer.activation != _NO_ACTIVATION:
        lines.append(layer.activation)
    if layer.kernel_shape is not None:
        bias = "" if layer.bias_shape is None else f" + {show_shape(layer.bias_shape)}"
        point = "" if layer.pointwise_shape is None else f" {show_shape(layer.pointwise_shape)}"
        lines.append(f"{show_shape(layer.kernel_shape)}{point}{bias}")
    return lines


def _module_lines(module: Holding, layer: Layer, found: LayerMap | None) -> list[str]:
    last = "" if module.exits == 1 else f", the last of {module.exits} exits"
    if not module.is_exit:
        last = ", its last mapped layer"
    return [
        module.title,
        kind_of(module, layer),
        _output_line(layer, found),
        count_of(module.layers, "layer"),
        f"{'ends with' if found is None else 'map of'} {layer.name}{last}",
    ]


def kind_of(module: Holding, layer: Layer) -> str:
    """What a module is: its class without the packages that hold it, where the file tells it."""
    if module.class_name is None:
        return "nested model" if layer.onnx_name is None else "module"
    return module.class_name.rpartition(".")[2]


def _alike(one: Shape | None, other: Shape | None) -> bool:
    """Whether two shapes are known to be the same; the batch stands first, if at all, as `None`."""
    return one is not None and one == other and None not in one[1:]


def _output_shape(layer: Layer, found: LayerMap | None) -> Shape | None:
    return layer.output_shape if found is None else found.shape


def _output_line(layer: Layer, found: LayerMap | None) -> str:
    shape = _output_shape(layer, found)
    return f"O: {show_shape(shape)}{': empty' if shape is not None and 0 in shape else ''}"


def _map_lines(
    lines: list[str], found: LayerMap, room: TileRoom, thick_rows: bool
) -> tuple[list[str], int, list[str]]:
    """The lines of a layer or module with those about its map."""
    if found.copies is None or found.copies > 1:
        lines.append(copies_line(found.copies, found.frame, steps=found.steps))
    if found.doubt is not None:
        lines.append(found.doubt)
    if found.flat:
        lines.append(f"tile: {show_shape(found.cam.shape)}")
    stretched = stretched_side((found.cam.shape[0], found.cam.shape[1]), room)
    if stretched := "rows" if thick_rows else stretched:
        lines.append(f"{stretched} drawn thicker")
    if found.bad_values is None:
        return (
            lines,
            4 if found.measured else 2,
            ["bias all zero: 1/C used"] if found.even_weights else [],
        )
    return [*lines, trouble_line(found)], 0, []


def copies_line(copies: int | None, frame: int | None, *, steps: bool) -> str:
    """Which one of several copies a map shows, or of how many it is the mean.

    Steps in time are frames; nobody knows what else a batch axis holds.
    """
    if frame is not None:
        of = "" if copies is None else f" of {copies}"
        return f"frame {frame}{of} (from 0){'' if steps else ', in the batch axis'}"
    if copies is None:
        return "mean over the frames" if steps else "mean over the batch axis"
    return f"mean over {copies} frames" if steps else f"mean of {copies} in the batch axis"


def trouble_line(found: LayerMap) -> str:
    """Why a layer is drawn hatched."""
    return f"{found.bad_values} NaN or infinite" if found.bad_values else "map overflows float32"


def number_line(found: LayerMap, line: int) -> str:
    """A label's line: least (0) or largest (1) value of the map, or (2, 3) of the activation."""
    what, ends = "map", (found.minimum, found.maximum)
    if line >= 2 and found.activation_range is not None:
        what, ends = "activation", found.activation_range
    return f"{what} {'max' if line % 2 else 'min'}: {show_range(*ends)[line % 2]}"


def state_line(found: LayerMap) -> str:
    """The last line of a label, which says why a tile is grey; empty where it is not."""
    if not found.plain:
        return ""
    return "hardly varies" if found.hardly_varies else "all zero"


def fit_line(text: str, size: float, width: float) -> str:
    """The text if it fits, else with its middle left out: both ends of a name tell it apart."""
    # Measuring takes long where there are very many.
    text = shortened(text, _LONGEST, ELLIPSIS)
    if text_width(text, size) <= width:
        return text
    most = bisect.bisect_right(
        range(len(text)),
        width,
        key=lambda kept: text_width(shortened(text, kept + 1, ELLIPSIS), size),
    )
    return shortened(text, most, ELLIPSIS) if most > 3 else ELLIPSIS


def wrap_name(text: str, size: float, width: float) -> list[str]:
    """A name on at most two lines, broken behind a separator where there is one."""
    text = shortened(text, _LONGEST, ELLIPSIS)
    if text_width(text, size) <= width:
        return [text]
    fitting = bisect.bisect_right(range(len(text)), width, key=lambda n: text_width(text[:n], size))
    most = max(1, fitting - 1)
    breaks = [n for n in range(max(1, most // 2), most + 1) if text[n - 1 : n] in "/_.:- "]
    cut = max(breaks, default=most)
    return [text[:cut], fit_line(text[cut:], size, width)]


def _shapes(shapes: Sequence[Shape | None]) -> str:
    parts = []
    for shape in dict.fromkeys(shapes):
        count = shapes.count(shape)
        parts.append(f"{count} x {show_shape(shape)}" if count > 1 else show_shape(shape))
    return ", ".join(parts)
