"""What stands beside the graph, in Bokeh: the table of layers, and one layer in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micam_fast.viewer.graph import GREY, INK, RULE, bare_figure, bokeh, hover_tool

_TABLE_STYLE = """.slick-cell { text-overflow: ellipsis; }
.slick-cell.active { border-color: transparent; }
.slick-cell.selected { background-color: #fbe3ec !important; }"""


def layer_table() -> dict[str, Any]:
    """The sortable table of layers; the scripts fill it, strongest first.

    Returns
    -------
    dict
        ``table``, its source ``rows``, the column ``peak``, and the columns that are shown
        ``alone`` or ``compared``.
    """
    models = bokeh("models")
    fields = ("layer", "name", "kind", "peak", "energy", "change", "relative")
    rows = models.ColumnDataSource({field: [] for field in fields})
    text = models.StringFormatter
    number = models.ScientificFormatter(
        precision=3, power_limit_low=-3, power_limit_high=5, text_align="right", nan_format="-"
    )
    columns = {
        "name": ("layer", 158, text()),
        "kind": ("class", 112, text()),
        "peak": ("max |CAM|", 70, number),
        "energy": ("energy", 66, number),
        "change": ("max |B \u2212 A|", 91, number),
        "relative": ("relative L2", 87, number),
    }
    made = {
        field: models.TableColumn(
            field=field,
            title=title,
            width=width,
            formatter=formatter,
            default_sort="ascending" if field in ("name", "kind") else "descending",
            visible=field not in ("change", "relative"),
        )
        for field, (title, width, formatter) in columns.items()
    }
    table = models.DataTable(
        source=rows,
        columns=list(made.values()),
        index_position=None,
        reorderable=False,
        autosize_mode="none",
        row_height=24,
        margin=0,
        stylesheets=[_TABLE_STYLE],
        sizing_mode="stretch_both",
    )
    return {
        "table": table,
        "rows": rows,
        "peak": made["peak"],
        "alone": [made["kind"], made["energy"]],
        "compared": [made["change"], made["relative"]],
    }


def map_figure(cell_rows: Sequence[str]) -> dict[str, Any]:
    """A layer's map at large; of two samples, both and their difference side by side."""
    parts = _picture_figure("hoverMap(value, format, special_vars)", 200, cell_rows)
    return {"mapFigure": parts["figure"], "maps": parts["pictures"], "mapTitles": parts["captions"]}


def feature_figure() -> dict[str, Any]:
    """A page of a layer's feature maps."""
    parts = _picture_figure(
        "hoverFeature(value, format, special_vars)", 330, ("feature map", "cell", "value")
    )
    return {
        "featureFigure": parts["figure"],
        "features": parts["pictures"],
        "featureTitles": parts["captions"],
    }


def histogram_figure() -> dict[str, Any]:
    """How often which value comes in a layer's map."""
    models, plotting = bokeh("models"), bokeh("plotting")
    bars = models.ColumnDataSource({"left": [], "right": [], "top": [], "colour": []})
    others = models.ColumnDataSource({"left": [], "right": [], "top": []})
    figure = plotting.figure(
        tools="",
        toolbar_location=None,
        height=120,
        sizing_mode="stretch_width",
        min_border=2,
        x_range=models.Range1d(0, 1),
        y_range=models.Range1d(0, 1),
        outline_line_color=None,
    )
    figure.grid.visible = False
    figure.yaxis.visible = False
    figure.xaxis.ticker = models.BasicTicker(desired_num_ticks=5)
    figure.xaxis.major_label_text_color = INK
    figure.xaxis.axis_line_color = figure.xaxis.major_tick_line_color = GREY
    figure.xaxis.minor_tick_line_color = None
    figure.quad(
        left="left", right="right", top="top", bottom=0, source=bars, fill_color="colour",
        line_color="colour",
    )  # fmt: skip
    figure.quad(
        left="left", right="right", top="top", bottom=0, source=others, fill_color=None,
        line_color=INK,
    )  # fmt: skip
    return {"histogramFigure": figure, "bars": bars, "otherBars": others}


def feature_controls() -> dict[str, Any]:
    """Buttons to turn the pages of feature maps, and the choice of their scale."""
    models = bokeh("models")
    return {
        "before": models.Button(label="\u25c0", width=36, margin=0, name="before"),
        "after": models.Button(label="\u25b6", width=36, margin=0, name="after"),
        "featureScale": models.RadioButtonGroup(
            labels=["one scale", "each its own"], active=0, margin=0, name="featureScale"
        ),
    }


def _picture_figure(call: str, height: int, rows: Sequence[str]) -> dict[str, Any]:
    """A figure of pictures with captions, of one unit each; the scripts set its ranges."""
    models = bokeh("models")
    columns = ("image", "x", "y", "dw", "dh", "layer")
    pictures = models.ColumnDataSource({name: [] for name in columns})
    captions = models.ColumnDataSource({"x": [], "y": [], "text": []})
    figure = bare_figure(
        height=height,
        sizing_mode="stretch_width",
        min_border=0,
        x_range=models.Range1d(0, 1),
        y_range=models.Range1d(1, 0),
        outline_line_color=None,
    )
    drawn = figure.image_rgba(image="image", x="x", y="y", dw="dw", dh="dh", source=pictures)
    figure.block(
        x="x", y="y", width="dw", height="dh", source=pictures, fill_color=None, line_color=RULE
    )
    figure.text(
        x="x", y="y", text="text", source=captions, text_color=INK, text_font_size="11px",
        text_baseline="top",
    )  # fmt: skip
    figure.add_tools(hover_tool([drawn], call, rows))
    return {"figure": figure, "pictures": pictures, "captions": captions}
