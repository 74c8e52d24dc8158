"""Which layers cost most and extract least."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.core.layers import Layer


@dataclass(frozen=True)
class ModelCosts:
    """What the layers of a whole model cost, measured or not; ``None`` is unknown.

    Attributes
    ----------
    parameters, multiply_adds
        By layer name.
    classifier
        The layer that the prediction is read from.
    """

    parameters: Mapping[str, int | None]
    multiply_adds: Mapping[str, float | None]
    classifier: str | None = None


@dataclass(frozen=True)
class Total:
    """A sum over all layers.

    Attributes
    ----------
    known
        The sum of what is known: the total is at least that.
    unknown
        Layers that are missing in it.
    """

    known: float
    unknown: tuple[str, ...]

    def share(self, part: float | None) -> float | None:
        """The share of a layer; ``None`` where the total is unknown, or nothing."""
        return None if part is None or self.unknown or not self.known else part / self.known


@dataclass(frozen=True)
class LayerCost:
    """What a layer costs, and what it extracts; ``None`` is unknown.

    Attributes
    ----------
    layer
        The one that computes.
    seen
        Its own values, or what the model makes of them before anything else reads them: those
        behind the batch normalization and the activation function that follow it alone. Only there
        do channels die.
    parameters, multiply_adds
        Of all layers from `layer` to `seen`.
    parameter_share, multiply_add_share
        By the sums over all layers of the model; unknown where a layer is missing in the sum.
    rank, possible_rank, rank_limit
        The effective rank, of which rank, limited by what: where `seen` is, or, if the inputs of
        `layer` limit its own rank and it uses more of that, at `layer`.
    used
        The share of `possible_rank`; at most the share of channels that are not dead.
    is_bound
        Whether the rank is unknown: `used` is at most the share of channels that are not dead, and
        `idle` at least what follows.
    energy_per_parameter
        Mean square of what is seen by `parameters`.
    idle
        Mean of the known shares of the cost, times the share that is not used. ``None`` for the
        classifier's last layer: it is as wide as there are classes.
    is_classifier
        Whether it is that layer.
    """

    layer: LayerStatistics
    seen: LayerStatistics
    parameters: int | None
    multiply_adds: float | None
    parameter_share: float | None
    multiply_add_share: float | None
    rank: float | None
    possible_rank: int | None
    rank_limit: str | None
    used: float | None
    is_bound: bool
    energy_per_parameter: float | None
    idle: float | None
    is_classifier: bool


@dataclass(frozen=True)
class Costs:
    """Layers with parameters or multiply-adds, the most idle one first, and sums over the model.

    Layers whose idle share is unknown come last.
    """

    layers: tuple[LayerCost, ...]
    parameters: Total
    multiply_adds: Total


def find_costs(
    rows: Sequence[LayerStatistics], layers: Sequence[Layer], whole: ModelCosts
) -> Costs:
    """Costs over all samples, of rows of all layers of a model or of some."""
    overall = {row.layer: row for row in rows if row.label is None}
    readers: dict[str, list[str]] = {}
    for layer in layers:
        for source in layer.inputs:
            readers.setdefault(source, []).append(layer.name)
    lone = {layer.name for layer in layers if len(layer.inputs) == 1}
    classifier = _last_layer(layers, whole)
    sums = _total(whole.parameters), _total(whole.multiply_adds)
    found: list[LayerCost] = []
    followers: set[str] = set()
    for name, row in overall.items():
        if name in followers or (row.parameters, row.multiply_adds) == (0, 0):
            continue
        chain = [row]
        while (follower := _follower(chain[-1], readers, lone, overall)) is not None:
            chain.append(follower)
            followers.add(follower.layer)
        found.append(_find_cost(chain, *sums, is_classifier=name == classifier))
    known = sorted((e for e in found if e.idle is not None), key=_idle, reverse=True)
    return Costs((*known, *(e for e in found if e.idle is None)), *sums)


def _find_cost(
    chain: Sequence[LayerStatistics], parameters: Total, products: Total, *, is_classifier: bool
) -> LayerCost:
    row, seen = chain[0], chain[-1]
    held = [each.parameters for each in chain if each.parameters is not None]
    read = sum(held) if len(held) == len(chain) else None
    shares = parameters.share(read), products.share(row.multiply_adds)
    known = [share for share in shares if share is not None]
    alive = None if seen.dead_channels is None else 1 - seen.dead_channels
    rank = _choose_rank(row, seen)
    used = alive
    if (share := _share(rank)) is not None:
        used = min(1.0, share)
        if rank is not seen and alive is not None:
            used = min(used, alive)
    idle = None
    if known and used is not None and not is_classifier:
        idle = sum(known) / len(known) * (1 - used)
    return LayerCost(
        layer=row,
        seen=seen,
        parameters=read,
        multiply_adds=row.multiply_adds,
        parameter_share=shares[0],
        multiply_add_share=shares[1],
        rank=rank.effective_rank,
        possible_rank=rank.possible_rank,
        rank_limit=rank.rank_limit,
        used=used,
        is_bound=rank.effective_rank is None and used is not None,
        energy_per_parameter=seen.energy / read if seen.energy is not None and read else None,
        idle=idle,
        is_classifier=is_classifier,
    )


def _choose_rank(row: LayerStatistics, seen: LayerStatistics) -> LayerStatistics:
    """The layer itself, if its inputs limit it and it uses more of what they allow."""
    mine, handed_on = _share(row), _share(seen)
    if row.rank_limit != "inputs" or mine is None or (handed_on or 0.0) >= mine:
        return seen
    return row


def _share(row: LayerStatistics) -> float | None:
    """Of the possible rank; a rank of 0 is all that nothing allows."""
    if row.effective_rank is None or row.possible_rank is None:
        return None
    return row.effective_rank / max(1, row.possible_rank)


def _idle(cost: LayerCost) -> float:
    return cost.idle or 0.0


def _total(costs: Mapping[str, float | None] | Mapping[str, int | None]) -> Total:
    known = sum(cost for cost in costs.values() if cost is not None)
    return Total(known, tuple(name for name, cost in costs.items() if cost is None))


def _last_layer(layers: Sequence[Layer], whole: ModelCosts) -> str | None:
    """The layer with products that the prediction follows from, through lone readers."""
    inputs = {layer.name: layer.inputs for layer in layers}
    name = whole.classifier
    while name is not None and whole.multiply_adds.get(name) == 0:
        read = inputs.get(name, ())
        name = read[0] if len(read) == 1 else None
    return name


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


def unknown_costs(costs: Costs) -> Iterator[tuple[str, Total]]:
    """The sums that lack layers, and what they are sums of."""
    for what, total in (("parameters", costs.parameters), ("mult-adds", costs.multiply_adds)):
        if total.unknown:
            yield what, total
