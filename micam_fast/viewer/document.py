"""The page's Bokeh document: its widgets and figures, and which script function each calls."""

from __future__ import annotations

from typing import Any

from micam_fast.core.choices import LOOKS, Look
from micam_fast.viewer.graph import bokeh, graph_figure, ranges, shared_sources, strip_figure
from micam_fast.viewer.panel import (
    feature_controls,
    feature_figure,
    histogram_figure,
    layer_table,
    map_figure,
)
from micam_fast.viewer.payload import PageData, told

COLOURS = ("RGBA", "\u00b1", "R", "G", "B", "A")
"""Ways to colour a tile, in the order of the buttons."""

# The template and its style set what is between the widgets.
_NO_MARGIN = (0, 0, 0, 0)
_VIEWS = ("whole", "width", "reset")
# Names have any length, and no blank where they could be broken.
_SUGGESTIONS = ".bk-menu > * { overflow: hidden; overflow-wrap: anywhere; max-height: 5.4em; }"


def build_document(data: PageData, *, compare: bool, look: Look) -> Any:
    """The document, whose roots are named for the template; the numbers travel beside it.

    `compare` and `look` say how it opens: with the first two samples compared, and which tiles.
    """
    models = bokeh("models")
    document = bokeh("document").Document(title=data.title)
    x_range, y_range = ranges(data.layout)
    shared = shared_sources(data.layers, data.layout)
    # Names only where there are some.
    names = {"row": data.row_names, "column": data.column_names}
    cell_rows = ["layer", "cell", "value", *(axis for axis, known in names.items() if known)]
    panes = [graph_figure(shared, x_range, y_range, pane, cell_rows) for pane in range(3)]
    strip = strip_figure(shared, data.layout)
    table, details, features = layer_table(), map_figure(cell_rows), feature_figure()
    histogram, controls = histogram_figure(), feature_controls()
    widgets = _widgets(data, compare, look)
    graphs = models.Row(
        children=[pane["figure"] for pane in panes], sizing_mode="stretch_both", spacing=6
    )
    roots = {
        **widgets,
        **controls,
        "graphs": graphs,
        "strip": strip["figure"],
        "table": table["table"],
        "mapFigure": details["mapFigure"],
        "featureFigure": features["featureFigure"],
        "histogramFigure": histogram["histogramFigure"],
    }
    parts = {
        **roots,
        **details,
        **features,
        **histogram,
        "xRange": x_range,
        "yRange": y_range,
        "panes": panes,
        "chosen": shared["chosen"],
        "frame": strip["frame"],
        "stripBars": strip["bars"],
        "rows": table["rows"],
        "columnPeak": table["peak"],
        "columnsAlone": table["alone"],
        "columnsCompared": table["compared"],
    }
    # A model that is in a document has all of it searched again at each change, so it comes last.
    _connect(parts)
    with document.models.freeze():
        for name, root in roots.items():
            root.name = name
            document.add_root(root)
        start = models.CustomJS(args={"parts": parts}, code="micam.start(parts);")
        document.js_on_event(bokeh("events").DocumentReady, start)
    return document


def _widgets(data: PageData, compare: bool, look: Look) -> dict[str, Any]:
    """What stands above the graph."""
    models = bokeh("models")
    samples = [(str(number), title) for number, title in enumerate(data.sample_titles)]
    return {
        "sample": models.Select(options=samples, value="0", width=180, margin=_NO_MARGIN),
        "other": models.Select(
            options=[("", "\u2014"), *samples],
            value="1" if compare and len(samples) > 1 else "",
            width=180,
            margin=_NO_MARGIN,
        ),
        "colours": models.RadioButtonGroup(labels=list(COLOURS), active=0, margin=_NO_MARGIN),
        "look": models.RadioButtonGroup(
            labels=list(LOOKS), active=LOOKS.index(look), margin=_NO_MARGIN
        ),
        "search": models.AutocompleteInput(
            completions=[told(node.title) for node in data.nodes],
            search_strategy="includes",
            case_sensitive=False,
            min_characters=1,
            max_completions=12,
            placeholder="layer name  ( / )",
            width=170,
            stylesheets=[_SUGGESTIONS],
            margin=_NO_MARGIN,
        ),
        **{name: models.Button(label=name, width=58, margin=_NO_MARGIN) for name in _VIEWS},
    }


def _connect(parts: dict[str, Any]) -> None:
    """Have the widgets and figures call the scripts."""
    models, events = bokeh("models"), bokeh("events")

    def script(call: str) -> Any:
        return models.CustomJS(code=f"micam.{call};")

    for name, property_name, call in (
        ("sample", "value", "changeSample()"),
        ("other", "value", "changeSample()"),
        ("colours", "active", "changeColours()"),
        ("look", "active", "changeLook()"),
        ("search", "value", "search(cb_obj.value)"),
        ("search", "value_input", "searching(cb_obj.value_input)"),
        ("featureScale", "active", "showFeatures()"),
    ):
        parts[name].js_on_change(property_name, script(call))
    for name, call in (
        ("whole", "fitWhole()"),
        ("width", "fitWidth()"),
        ("reset", "reset()"),
        ("before", "turnPage(-1)"),
        ("after", "turnPage(1)"),
    ):
        parts[name].js_on_event(events.ButtonClick, script(call))
    parts["rows"].selected.js_on_change("indices", script("chooseRow(cb_obj.indices)"))
    for range_name in ("xRange", "yRange"):
        for side in ("start", "end"):
            parts[range_name].js_on_change(side, script("moved()"))
    for size in ("inner_width", "inner_height"):
        parts["panes"][0]["figure"].js_on_change(size, script("resized()"))
    for pane in parts["panes"]:
        pane["figure"].js_on_event(events.Tap, script("tap(cb_obj.x, cb_obj.y)"))
    for event in (events.Tap, events.Pan):
        parts["strip"].js_on_event(event, script("goTo(cb_obj.x, cb_obj.y)"))
    for name in ("mapFigure", "featureFigure"):
        for size in ("inner_width", "inner_height"):
            parts[name].js_on_change(size, script("showDetails()"))
