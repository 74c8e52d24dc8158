"""Statistics as HTML: tables for notebooks, and a page with thumbnails."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from micam_fast.analyses.statistics.costs import Costs
from micam_fast.analyses.statistics.modules import ModuleCost
from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.analyses.statistics.tables import (
    COST_HEADER,
    LEGEND,
    MODULE_HEADER,
    MODULES_LEGEND,
    MODULES_TITLE,
    MOST,
    ROW_HEADER,
    TITLE,
    cost_cells,
    module_cells,
    remarks,
    row_cells,
)
from micam_fast.analyses.statistics.top_samples import RankedSample, TopSamples
from micam_fast.core.texts import one_line, shortened
from micam_fast.diagrams.encoders.png import png_url

_MOST_INDICES = 32
# The first columns of `ROW_HEADER`; the last of them is the module.
_ROW_TEXTS = 3
_LONGEST_CAPTION = 18
_STYLE = """
.micam-stats { font: 13px/1.4 system-ui, sans-serif; color: #222; }
.micam-stats h2 { font-size: 15px; font-weight: 600; margin: 24px 0 6px; }
.micam-stats p { margin: 6px 0; max-width: 80em; color: #555; }
.micam-stats div { overflow-x: auto; }
.micam-stats table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.micam-stats th, .micam-stats td { padding: 3px 9px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e4e4e4; vertical-align: middle; background: none; }
.micam-stats th { font-weight: 600; border-bottom: 1px solid #999; }
.micam-stats .text { text-align: left; }
.micam-stats .list { white-space: normal; min-width: 6em; }
.micam-stats .all .list { min-width: 26em; }
.micam-stats figure { display: inline-block; width: 84px; margin: 3px 5px; text-align: center;
  vertical-align: top; }
.micam-stats figcaption { font-size: 11px; line-height: 1.25; color: #555; margin-top: 2px;
  overflow-wrap: anywhere; white-space: normal; }
.micam-stats img { image-rendering: pixelated; margin: 0 auto; display: block; }
"""


@dataclass(frozen=True)
class Tables:
    """What the tables show; the top samples by layer name."""

    costs: Costs
    modules: Sequence[ModuleCost]
    rows: Sequence[LayerStatistics]
    top: Mapping[str, TopSamples]


def html_page(model: str, tables: Tables) -> str:
    """A page of all tables."""
    title = html.escape(one_line(f"Statistics of {model}"))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>body {{ margin: 24px; background: #fff; }}</style></head><body>"
        f'<h1 style="font: 600 20px system-ui, sans-serif; color: #222">{title}</h1>'
        f"{html_table(tables)}</body></html>\n"
    )


def html_table(tables: Tables) -> str:
    """The layers that cost most and extract least, modules, top samples, all rows; all escaped."""
    costs, rows = tables.costs, tables.rows
    lines = [list(ROW_HEADER), *(list(row_cells(row, _MOST_INDICES)) for row in rows)]
    texts = _ROW_TEXTS
    if not any(row.module for row in rows):
        lines = [line[: texts - 1] + line[texts:] for line in lines]
        texts -= 1
    if any(row.label is not None for row in rows):
        labels = ["class", *("all" if row.label is None else row.label for row in rows)]
        lines = [[label, *line] for label, line in zip(labels, lines, strict=True)]
        texts += 1
    header, *cells = lines
    hint = [cost_cells(cost) for cost in costs.layers[:MOST]]
    notes = "".join(f"<p>{html.escape(one_line(each))}</p>" for each in (LEGEND, *remarks(costs)))
    return (
        f'<div class="micam-stats"><style>{_STYLE}</style>'
        f"<h2>{_heading(TITLE)}</h2>{_table(COST_HEADER, hint, 2)}{notes}"
        f"{_module_table(tables.modules)}{_top_table(tables.top)}"
        f'<h2>All layers</h2><div class="all">'
        f"{_table(header, cells, texts)}</div></div>"
    )


def _heading(title: str) -> str:
    return html.escape(title[0].upper() + title.removesuffix(":")[1:])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    """A table whose first columns are texts, the others numbers."""
    kinds = ["text"] * texts + [
        "text list" if name.startswith("which") else "" for name in header[texts:]
    ]
    return _laid_out(
        _line("th", header, kinds),
        (_line("td", map(html.escape, map(one_line, row)), kinds) for row in rows),
    )


def _module_table(modules: Sequence[ModuleCost]) -> str:
    if not modules:
        return ""
    cells = [module_cells(each) for each in modules]
    return (
        f"<h2>{_heading(MODULES_TITLE)}</h2>{_table(MODULE_HEADER, cells, 1)}"
        f"<p>{html.escape(MODULES_LEGEND)}</p>"
    )


def _top_table(top: Mapping[str, TopSamples]) -> str:
    if not top:
        return ""
    kinds = ["text"] * 3
    lines = (
        _line(
            "td",
            [html.escape(one_line(name)), _figures(each.strongest), _figures(each.weakest)],
            kinds,
        )
        for name, each in top.items()
    )
    head = _line("th", ["layer", "most exciting first", "least exciting first"], kinds)
    return (
        "<h2>Samples that excite each layer most and least</h2><p>Below each sample: its name, and "
        f"its energy in the layer, the mean of the squared values.</p>{_laid_out(head, lines)}"
    )


def _figures(samples: Sequence[RankedSample]) -> str:
    return "".join(_figure(each) for each in samples)


def _figure(sample: RankedSample) -> str:
    height, width = sample.thumbnail.shape[:2]
    name, picture = one_line(sample.name), png_url(np.atleast_3d(sample.thumbnail))
    return (
        f'<figure title="{html.escape(name)}"><img src="{picture}" '
        f'width="{width}" height="{height}" alt="">'
        f"<figcaption>{html.escape(shortened(name, _LONGEST_CAPTION))}<br>{sample.energy:.3g}"
        "</figcaption></figure>"
    )


def _line(tag: str, cells: Iterable[str], kinds: Sequence[str]) -> str:
    return "".join(
        f'<{tag} class="{kind}">{cell}</{tag}>' if kind else f"<{tag}>{cell}</{tag}>"
        for kind, cell in zip(kinds, cells, strict=True)
    )


def _laid_out(head: str, lines: Iterable[str]) -> str:
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
