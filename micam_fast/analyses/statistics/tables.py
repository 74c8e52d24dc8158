"""Which layers cost most and extract least, and statistics, as tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from micam_fast.analyses.statistics.costs import Costs, LayerCost, unknown_costs
from micam_fast.analyses.statistics.modules import ModuleCost, outermost
from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.core.texts import aligned, count_of, first_of, one_line, shortened

COST_HEADER = (
    "layer", "seen at", "parameters", "share", "mult-adds", "share", "channels", "eff. rank",
    "limit", "used", "dead", "which", "energy/param", "idle",
)  # fmt: skip
ROW_HEADER = (
    "layer", "type", "module", "samples", "channels", "mean", "deviation", "min", "max", "energy",
    "dead", "sparsity", "eff. rank", "limit", "parameters", "mult-adds", "energy/param",
    "not finite", "which are dead",
)  # fmt: skip
MODULE_HEADER = (
    "module", "layers", "parameters", "share", "mult-adds", "share", "values", "channels", "dead",
    "idle",
)  # fmt: skip
TITLE = "layers that cost most and extract least, all samples:"
LEGEND = (
    "used: effective rank / the rank that is possible, limited by channels, inputs, samples or "
    "positions; idle: mean of the shares of parameters and mult-adds, times what is not used"
)
MODULES_TITLE = "modules, all samples:"
MODULES_LEGEND = (
    "sums over the layers of each module; values: numbers that these give out for a sample; "
    "channels: of its layers that compute, behind batch normalization and activation function"
)
MOST, MOST_MODULES = 12, 24
_LONGEST_NAME = 40
_FEW_INDICES = 3
UNKNOWN = "-"


def cost_lines(costs: Costs, most: int = MOST) -> Iterator[str]:
    """The table of at most so many layers that cost most and extract least, as lines of text."""
    if not costs.layers:
        yield "no layer has parameters or multiply-adds"
        return
    cells = [COST_HEADER, *(cost_cells(cost) for cost in costs.layers[:most])]
    yield TITLE
    yield from aligned(cells, texts=2)
    yield LEGEND
    yield from remarks(costs)
    if len(costs.layers) > most:
        yield _rest(costs.layers[most:])
    dead = [cost for cost in costs.layers if cost.seen.dead_channels == 1]
    if dead:
        yield one_line(f"wholly dead: {', '.join(cost.layer.layer for cost in dead)}")


def module_lines(modules: Sequence[ModuleCost], most: int = MOST_MODULES) -> Iterator[str]:
    """The table of modules as lines of text, the outermost ones if there are many; or nothing."""
    if not modules:
        return
    shown = list(outermost(modules, most))
    yield MODULES_TITLE
    yield from aligned([MODULE_HEADER, *map(module_cells, shown)], texts=1)
    yield MODULES_LEGEND
    if len(shown) < len(modules):
        yield f"{count_of(len(modules) - len(shown), 'more module')}: the output file has all"


def module_cells(cost: ModuleCost) -> tuple[str, ...]:
    """A module's row of `MODULE_HEADER`."""
    return (
        shortened(cost.module, _LONGEST_NAME),
        str(cost.layers),
        show_count(cost.parameters),
        _percent(cost.parameter_share),
        show_count(cost.multiply_adds),
        _percent(cost.multiply_add_share),
        show_count(cost.values),
        str(cost.channels),
        _percent(cost.dead_channels),
        _percent(cost.idle, ">=" if cost.is_bound else ""),
    )


def remarks(costs: Costs) -> Iterator[str]:
    """What the table does not know, and what it leaves out."""
    for what, total in unknown_costs(costs):
        layers = first_of(total.unknown, 3)
        yield one_line(
            f"{what} of all layers: at least {show_count(total.known)}; those of {layers} are "
            "unknown, and so is each share of them"
        )
    if any(cost.is_bound for cost in costs.layers):
        yield "<= and >=: no effective rank is known, so all living channels count as used"
    for cost in costs.layers:
        if cost.is_classifier:
            yield one_line(
                f"{cost.layer.layer} is not judged: it is as wide as the model has classes"
            )


def cost_cells(cost: LayerCost) -> tuple[str, ...]:
    """A layer's row of `COST_HEADER`."""
    seen, row = cost.seen, cost.layer
    return (
        shortened(row.layer, _LONGEST_NAME),
        "itself" if seen is row else shortened(seen.layer, _LONGEST_NAME),
        show_count(cost.parameters),
        _percent(cost.parameter_share),
        show_count(cost.multiply_adds),
        _percent(cost.multiply_add_share),
        str(seen.channels),
        _rank(cost.rank, cost.possible_rank),
        cost.rank_limit or UNKNOWN,
        _percent(cost.used, "<=" if cost.is_bound else ""),
        _percent(seen.dead_channels),
        show_indices(seen.dead_indices, _FEW_INDICES),
        _number(cost.energy_per_parameter),
        _percent(cost.idle, ">=" if cost.is_bound else ""),
    )


def row_cells(row: LayerStatistics, most_indices: int) -> tuple[str, ...]:
    """A row of `ROW_HEADER`, with at most so many indices of dead channels."""
    return (
        row.layer, row.kind, row.module or "", str(row.samples), str(row.channels),
        _number(row.mean), _number(row.deviation), _number(row.low), _number(row.high),
        _number(row.energy), _percent(row.dead_channels), _percent(row.sparsity),
        _rank(row.effective_rank, row.possible_rank),
        row.rank_limit or UNKNOWN, show_count(row.parameters), show_count(row.multiply_adds),
        _number(row.energy_per_parameter), str(row.not_finite or ""),
        show_indices(row.dead_indices, most_indices),
    )  # fmt: skip


def show_count(number: float | None) -> str:
    """A large number in three digits: ``1.23 M``."""
    if number is None:
        return UNKNOWN
    for limit, unit in ((1e3, ""), (1e6, " k"), (1e9, " M"), (1e12, " G"), (1e15, " T")):
        # What rounds up to the next unit belongs there.
        if number < 0.9995 * limit:
            return f"{number / limit * 1e3:.3g}{unit}"
    return f"{number:.3g}"


def show_indices(indices: Sequence[int] | None, most: int) -> str:
    """The first indices, and how many more there are: ``0 3 4 +22``."""
    if indices is None:
        return UNKNOWN
    shown = [str(index) for index in indices[:most]]
    return " ".join(shown + ([f"+{len(indices) - most}"] if len(indices) > most else []))


def _rest(layers: Sequence[LayerCost]) -> str:
    many = "1 more layer holds" if len(layers) == 1 else f"{len(layers)} more layers hold"
    sums = []
    for what, shares in (
        ("parameters", [each.parameter_share for each in layers]),
        ("mult-adds", [each.multiply_add_share for each in layers]),
    ):
        known = [share for share in shares if share is not None]
        whole = f"{sum(known):.1%}" if len(known) == len(shares) else "an unknown share"
        sums.append(f"{whole} of the {what}")
    return f"{many} {' and '.join(sums)}"


def _rank(effective: float | None, possible: int | None) -> str:
    if effective is None:
        return UNKNOWN
    return f"{effective:.1f} of {UNKNOWN if possible is None else possible}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"


def _percent(value: float | None, bound: str = "") -> str:
    return UNKNOWN if value is None else f"{bound}{value:.1%}"
