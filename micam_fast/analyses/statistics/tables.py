"""Which layers cost most and extract least, and statistics as a table to look at."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.core.layers import Layer
from micam_fast.core.texts import aligned, one_line, shortened

_LONGEST_NAME = 40


@dataclass(frozen=True)
class LayerCost:
    """What a layer costs, and what it extracts.

    Attributes
    ----------
    layer
        The one that computes.
    seen
        Its own values, or what the model makes of them before anything else reads them: those
        behind the batch normalization and the activation function that follow it alone. Only there
        do channels die.
    parameters, multiply_adds
        Of all layers from `layer` to `seen`; ``None`` for multiply-adds that are not known.
    parameter_share, multiply_add_share
        By the sums over all layers; what is not known counts as nothing.
    used
        Effective rank by the number of channels (or by that of positions less one, where there are
        fewer); by the share of channels that are not dead, where there is no rank.
    energy_per_parameter
        Mean square of what is seen by `parameters`.
    idle
        Mean of both shares of the cost, times the share that is not used.
    """

    layer: LayerStatistics
    seen: LayerStatistics
    parameters: int
    multiply_adds: float | None
    parameter_share: float
    multiply_add_share: float
    used: float
    energy_per_parameter: float | None
    idle: float


def find_costs(rows: Sequence[LayerStatistics], layers: Sequence[Layer]) -> list[LayerCost]:
    """Layers with parameters or multiply-adds, over all samples, the most idle one first."""
    overall = {row.layer: row for row in rows if row.label is None}
    readers: dict[str, list[str]] = {}
    for layer in layers:
        for source in layer.inputs:
            readers.setdefault(source, []).append(layer.name)
    lone = {layer.name for layer in layers if len(layer.inputs) == 1}
    all_parameters = sum(row.parameters for row in overall.values()) or 1
    all_products = sum(row.multiply_adds or 0 for row in overall.values()) or 1
    found, followers = [], set()
    for name, row in overall.items():
        if name in followers or not (row.parameters or row.multiply_adds):
            continue
        chain = [row]
        while (follower := _follower(chain[-1], readers, lone, overall)) is not None:
            chain.append(follower)
            followers.add(follower.layer)
        parameters = sum(each.parameters for each in chain)
        products = row.multiply_adds
        shares = parameters / all_parameters, (products or 0.0) / all_products
        seen = chain[-1]
        used = _used(seen)
        energy = seen.energy / parameters if seen.energy is not None and parameters else None
        idle = sum(shares) / 2 * (1 - used)
        found.append(LayerCost(row, seen, parameters, products, *shares, used, energy, idle))
    return sorted(found, key=lambda cost: cost.idle, reverse=True)


def _follower(
    row: LayerStatistics,
    readers: Mapping[str, Sequence[str]],
    lone: set[str],
    rows: Mapping[str, LayerStatistics],
) -> LayerStatistics | None:
    """The layer that alone reads this one, value by value and without products."""
    names = readers.get(row.layer, ())
    if len(names) != 1 or names[0] not in lone or names[0] not in rows:
        return None
    reader = rows[names[0]]
    alike = (reader.channels, _size(reader)) == (row.channels, _size(row))
    return reader if alike and reader.multiply_adds == 0 else None


def _size(row: LayerStatistics) -> float:
    return (row.values + row.not_finite) / row.samples


def _used(row: LayerStatistics) -> float:
    if row.effective_rank is None:
        return 1 - row.dead_channels
    positions = (row.values + row.not_finite) // row.channels
    return min(1.0, row.effective_rank / max(1, min(row.channels, positions - 1)))


COST_HEADER = (
    "layer", "seen at", "parameters", "share", "mult-adds", "share", "channels", "eff. rank",
    "used", "dead", "energy/param", "idle",
)  # fmt: skip


_TITLE = "layers that cost most and extract least, all samples:"
_LEGEND = (
    "used: effective rank / channels; idle: mean of the shares of parameters and mult-adds, times "
    "what is not used"
)
_MOST = 12


def cost_lines(
    rows: Sequence[LayerStatistics], layers: Sequence[Layer], most: int = _MOST
) -> Iterator[str]:
    """The table of at most so many layers that cost most and extract least, as lines of text."""
    costs = find_costs(rows, layers)
    if not costs:
        yield "no layer has parameters or multiply-adds"
        return
    cells = [COST_HEADER, *(_cells(cost) for cost in costs[:most])]
    yield _TITLE
    yield from aligned(cells, texts=2)
    yield _LEGEND
    if len(costs) > most:
        rest = costs[most:]
        many = "1 more layer holds" if len(rest) == 1 else f"{len(rest)} more layers hold"
        yield (
            f"{many} {sum(each.parameter_share for each in rest):.1%} of the parameters and "
            f"{sum(each.multiply_add_share for each in rest):.1%} of the mult-adds"
        )
    dead = [cost for cost in costs if cost.seen.dead_channels == 1]
    if dead:
        yield one_line(f"wholly dead: {', '.join(cost.layer.layer for cost in dead)}")


def _cells(cost: LayerCost) -> tuple[str, ...]:
    rank = cost.seen.effective_rank
    return (
        shortened(cost.layer.layer, _LONGEST_NAME),
        "itself" if cost.seen is cost.layer else shortened(cost.seen.layer, _LONGEST_NAME),
        show_count(cost.parameters),
        f"{cost.parameter_share:.1%}",
        show_count(cost.multiply_adds),
        _share(None if cost.multiply_adds is None else cost.multiply_add_share),
        str(cost.seen.channels),
        "-" if rank is None else f"{rank:.1f}",
        f"{cost.used:.1%}",
        f"{cost.seen.dead_channels:.1%}",
        _number(cost.energy_per_parameter),
        f"{cost.idle:.1%}",
    )


def show_count(number: float | None) -> str:
    """A large number in three digits: ``1.23 M``."""
    if number is None:
        return "-"
    for limit, unit in ((1e3, ""), (1e6, " k"), (1e9, " M"), (1e12, " G"), (1e15, " T")):
        # What rounds up to the next unit belongs there.
        if number < 0.9995 * limit:
            return f"{number / limit * 1e3:.3g}{unit}"
    return f"{number:.3g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def html_table(rows: Sequence[LayerStatistics], layers: Sequence[Layer]) -> str:
    """The layers that cost most and extract least, and all rows, as HTML tables; escaped."""
    classes = any(row.label is not None for row in rows)
    header = ["layer", "type", "samples", "channels", "mean", "deviation", "min", "max", "energy",
              "dead", "sparsity", "effective rank", "parameters", "mult-adds", "energy/param",
              "not finite"]  # fmt: skip
    cells = [_all_cells(row) for row in rows]
    if classes:
        header.insert(0, "class")
        cells = [
            ("all" if row.label is None else row.label, *of_row)
            for row, of_row in zip(rows, cells, strict=True)
        ]
    costs = [_cells(cost) for cost in find_costs(rows, layers)[:_MOST]]
    return (
        f"<p>{_TITLE}</p>{_html(COST_HEADER, costs, 2)}<p>{_LEGEND}</p>"
        f"{_html(header, cells, 3 if classes else 2)}"
    )


def _all_cells(row: LayerStatistics) -> tuple[str, ...]:
    return (
        row.layer, row.kind, str(row.samples), str(row.channels), _number(row.mean),
        _number(row.deviation), _number(row.low), _number(row.high), _number(row.energy),
        _share(row.dead_channels), _share(row.sparsity), _number(row.effective_rank),
        show_count(row.parameters), show_count(row.multiply_adds),
        _number(row.energy_per_parameter), str(row.not_finite or ""),
    )  # fmt: skip


def _html(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A table whose first columns are texts, the others numbers."""
    sides = ["left"] * texts + ["right"] * (len(header) - texts)
    lines = [
        "".join(
            f'<{tag} style="text-align:{side};white-space:nowrap">{html.escape(cell)}</{tag}>'
            for side, cell in zip(sides, map(one_line, cells), strict=True)
        )
        for tag, cells in (("th", header), *(("td", row) for row in rows))
    ]
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
