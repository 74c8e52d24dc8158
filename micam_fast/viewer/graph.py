"""The model's graph in Bokeh: three figures that move as one, and a strip of all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micam_fast.core.extras import import_extra
from micam_fast.core.layers import Layer
from micam_fast.core.texts import one_line
from micam_fast.diagrams.marks import Path
from micam_fast.diagrams.parts import route_marks
from micam_fast.diagrams.places import Box, DiagramLayout, Route

PURPOSE = "the interactive page"
INK, GREY, RULE, ACCENT = "#222222", "#6e6e6e", "#c8c8c8", "#c2185b"
SIDES = {side: side for side in ("left", "right", "top", "bottom")}
"""Columns of rectangles, as glyphs take them."""
_STRONGEST_ZOOM = 40.0
# Letters of a nested model's title, about as wide as a node.
_LONGEST_TITLE = 60


def bokeh(part: str) -> Any:
    """A module of Bokeh, like ``models``."""
    return import_extra(f"bokeh.{part}", extra="view", purpose=PURPOSE)


def shared_sources(layers: Sequence[Layer], layout: DiagramLayout) -> dict[str, Any]:
    """Sources that all figures of the graph share: nodes, edges, arrows, clusters, selection."""
    source = bokeh("models").ColumnDataSource
    nodes = _edges_of([layout.nodes[layer.name] for layer in layers])
    frames = _edges_of([cluster.box for cluster in layout.clusters])
    names = [one_line(cluster.name, _LONGEST_TITLE) for cluster in layout.clusters]
    return {
        "nodes": source({**nodes, "layer": np.arange(len(layers), dtype=np.float64)}),
        "clusters": source({**frames, "name": names}),
        "edges": source(_curves([route for route in layout.routes if route.label is None])),
        "dotted": source(_curves([route for route in layout.routes if route.label is not None])),
        "counts": source(_counts(layout.routes)),
        "arrows": source(_arrows(layout.routes)),
        "chosen": source({side: [] for side in SIDES}),
    }


def bare_figure(**more: Any) -> Any:
    """A figure without tools, axes and grid."""
    figure = bokeh("plotting").figure(tools="", toolbar_location=None, **more)
    figure.axis.visible = figure.grid.visible = False
    return figure


def graph_figure(
    shared: dict[str, Any], x_range: Any, y_range: Any, pane: int, cell_rows: Sequence[str]
) -> dict[str, Any]:
    """One figure of the graph: a sample's, or the difference.

    Parameters
    ----------
    shared
        Of `shared_sources`.
    x_range, y_range
        What it shows; the same for all figures.
    pane
        0 for A, 1 for B, 2 for B - A.
    cell_rows
        Of the tooltip of a cell.

    Returns
    -------
    dict
        The ``figure``, and what the scripts fill: the sources ``tiles``, ``squares``, ``names``,
        ``lines``, ``hatched`` and the glyphs ``nameGlyph``, ``lineGlyph``, ``clusterGlyph``,
        ``edgeGlyph``.
    """
    models = bokeh("models")
    figure = bare_figure(
        x_range=x_range,
        y_range=y_range,
        sizing_mode="stretch_both",
        min_border=0,
        min_width=120,
        visible=pane == 0,
        outline_line_color=None,
        background_fill_color="#f7f7f5",
        border_fill_color="#f7f7f5",
        lod_threshold=None,
    )
    empty = {
        "tiles": ("image", "x", "y", "dw", "dh", "layer"),
        "squares": ("x", "y", "side", "colour", "layer", "cell"),
        "names": ("x", "y", "text"),
        "lines": ("x", "y", "text"),
        "hatched": tuple(SIDES),
    }
    parts = {
        name: models.ColumnDataSource({column: [] for column in columns})
        for name, columns in empty.items()
    }
    figure.quad(
        **SIDES, source=shared["clusters"], fill_color="#efefec", line_color=GREY, line_dash="4 3"
    )
    cluster_names = figure.text(
        x="left", y="top", text="name", source=shared["clusters"], text_color=GREY,
        text_baseline="top", x_offset=6, y_offset=3, text_font_size="12px",
    )  # fmt: skip
    for edges, dash in (("edges", "solid"), ("dotted", "dotted")):
        figure.bezier(
            x0="x0", y0="y0", x1="x1", y1="y1", cx0="cx0", cy0="cy0", cx1="cx1", cy1="cy1",
            source=shared[edges], line_color=GREY, line_width=1.5, line_dash=dash,
        )  # fmt: skip
    edge_labels = figure.text(
        x="x", y="y", text="text", source=shared["counts"], text_color=INK, text_align="center",
    )  # fmt: skip
    figure.patches(xs="xs", ys="ys", source=shared["arrows"], fill_color=GREY, line_color=None)
    figure.quad(**SIDES, source=shared["nodes"], fill_color="white", line_color=RULE)
    figure.quad(
        **SIDES, source=parts["hatched"], fill_color=None, line_color=None,
        hatch_pattern="right_diagonal_line", hatch_color="#969696", hatch_scale=9,
    )  # fmt: skip
    tiles = figure.image_rgba(
        image="image", x="x", y="y", dw="dw", dh="dh", source=parts["tiles"], name="tiles"
    )
    squares = figure.rect(
        x="x", y="y", width="side", height="side", source=parts["squares"], fill_color="colour",
        line_color=None, name="squares",
    )  # fmt: skip
    names, lines = (
        figure.text(
            x="x", y="y", text="text", source=parts[name], text_baseline="top",
            text_color=INK, text_font_size="13px", text_font_style=style,
        )
        for name, style in (("names", "bold"), ("lines", "normal"))
    )  # fmt: skip
    figure.quad(**SIDES, source=shared["chosen"], fill_color=None, line_color=ACCENT, line_width=3)
    pan, wheel = models.PanTool(), models.WheelZoomTool(zoom_on_axis=False, maintain_focus=True)
    call = f"hover(value, format, special_vars, {pane})"
    figure.add_tools(pan, wheel, hover_tool([tiles, squares], call, cell_rows))
    figure.toolbar.active_drag, figure.toolbar.active_scroll = pan, wheel
    return {
        "figure": figure,
        **parts,
        "nameGlyph": names.glyph,
        "lineGlyph": lines.glyph,
        "clusterGlyph": cluster_names.glyph,
        "edgeGlyph": edge_labels.glyph,
    }


def hover_tool(renderers: Sequence[Any], call: str, rows: Sequence[str]) -> Any:
    """A tooltip whose rows a script function fills; what it returns is escaped by Bokeh.

    Parameters
    ----------
    renderers
        Glyphs whose source has a column ``layer``.
    call
        The function of the scripts, with its arguments.
    rows
        Of the tooltip.
    """
    models = bokeh("models")
    cells = (
        f'<tr><td style="color: {GREY}; padding-right: 8px">{row}</td>'
        f'<td class="micam-value" style="color: {INK}; max-width: 340px; overflow-wrap: anywhere">'
        f"@layer{{{row}}}</td></tr>"
        for row in rows
    )
    return models.HoverTool(
        renderers=list(renderers),
        tooltips=f'<table style="font-size: 12px">{"".join(cells)}</table>',
        formatters={"@layer": models.CustomJSHover(code=f"return micam.{call};")},
        point_policy="follow_mouse",
        attachment="horizontal",
    )


def strip_figure(shared: dict[str, Any], layout: DiagramLayout) -> dict[str, Any]:
    """The whole graph in a narrow figure: layers coloured by strength, what is seen in a frame.

    Returns
    -------
    dict
        ``figure``, ``frame`` and ``bars``, the source of the layers.
    """
    models = bokeh("models")
    figure = bare_figure(
        x_range=models.Range1d(-0.03 * layout.width, 1.03 * layout.width),
        y_range=models.Range1d(1.005 * layout.height, -0.005 * layout.height),
        sizing_mode="stretch_both",
        min_border=0,
        outline_line_color=RULE,
        background_fill_color="white",
    )
    nodes = shared["nodes"].data
    bars = models.ColumnDataSource({**nodes, "colour": ["#dddddd"] * len(nodes["layer"])})
    drawn = figure.quad(
        **SIDES, source=bars, fill_color="colour", line_color="colour", line_width=1
    )
    figure.quad(**SIDES, source=shared["chosen"], fill_color=None, line_color=ACCENT, line_width=2)
    frame = models.BoxAnnotation(
        left=0, right=1, top=0, bottom=1, fill_color="#3b75bb", fill_alpha=0.15,
        line_color="#3b75bb", line_width=2, line_alpha=1,
    )  # fmt: skip
    figure.add_layout(frame)
    figure.add_tools(hover_tool([drawn], "hoverStrip(value, format)", ("layer", "strength")))
    return {"figure": figure, "frame": frame, "bars": bars}


def ranges(layout: DiagramLayout) -> tuple[Any, Any]:
    """What the graph's figures show; the scripts set it when the page opens."""
    range_ = bokeh("models").Range1d
    most = 3 * max(layout.width, layout.height)
    return (
        range_(0, layout.width, min_interval=_STRONGEST_ZOOM, max_interval=most),
        range_(layout.height, 0, min_interval=_STRONGEST_ZOOM, max_interval=most),
    )


def _curves(routes: Sequence[Route]) -> dict[str, Any]:
    """Each cubic segment of the edges."""
    segments = [
        [*route.points[place], *route.points[place + 1], *route.points[place + 2],
         *route.points[place + 3]]
        for route in routes
        for place in range(0, len(route.points) - 3, 3)
    ]  # fmt: skip
    columns = np.array(segments, np.float64).reshape(-1, 8)
    names = ("x0", "y0", "cx0", "cy0", "cx1", "cy1", "x1", "y1")
    return {name: columns[:, place].copy() for place, name in enumerate(names)}


def _counts(routes: Sequence[Route]) -> dict[str, Any]:
    """The labels of the dotted edges."""
    labels = [route.label for route in routes if route.label is not None]
    return {
        "x": [label.place[0] for label in labels],
        "y": [label.place[1] for label in labels],
        "text": [label.text for label in labels],
    }


def _arrows(routes: Sequence[Route]) -> dict[str, Any]:
    """The triangles at the edges' ends."""
    marks = [mark for route in routes for mark in route_marks(route)]
    tips = [mark.points for mark in marks if isinstance(mark, Path) and mark.filled]
    return {
        "xs": [[x for x, _ in points] for points in tips],
        "ys": [[y for _, y in points] for points in tips],
    }


def _edges_of(boxes: Sequence[Box]) -> dict[str, Any]:
    """Columns of rectangles, as `SIDES` names them."""
    corners = [(box.x, box.x + box.width, box.y, box.y + box.height) for box in boxes]
    columns = np.array(corners, np.float64).reshape(-1, 4)
    return {side: columns[:, place].copy() for place, side in enumerate(SIDES)}
