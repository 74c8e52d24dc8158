"""What the modules of a network cost: sums over the layers in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from micam_fast.analyses.statistics.costs import Costs, LayerCost, ModelCosts
from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.core.layers import Layer


@dataclass(frozen=True)
class ModuleCost:
    """What the layers of a module cost together, over all samples; ``None`` is unknown.

    Only what adds up is here: a sum that lacks a layer is unknown.

    Attributes
    ----------
    module
        Its path, or the path of a nested model.
    depth
        How many modules there are around it, itself included.
    layers
        Their number, those of the modules within included.
    parameters, multiply_adds
        Sums over the layers.
    parameter_share, multiply_add_share
        By the sums over all layers of the model; unknown where a layer is missing in the sum.
    values
        Numbers that its layers give out for a sample, the mean over the samples.
    channels, dead_channels
        Number of the channels that its layers with parameters or multiply-adds hand on, and the
        share of the dead ones; both where these layers are seen, see `LayerCost`.
    idle
        Sum over the layers that are judged; ``None`` where there is none.
    is_bound
        Whether `idle` is at least that.
    """

    module: str
    depth: int
    layers: int
    parameters: int | None
    parameter_share: float | None
    multiply_adds: float | None
    multiply_add_share: float | None
    values: float | None
    channels: int
    dead_channels: float | None
    idle: float | None
    is_bound: bool


def module_around(layer: Layer) -> str | None:
    """The innermost module or nested model around a layer; ``None`` where none is known."""
    return _name(layer, len(layer.cluster)) if layer.cluster else None


def find_modules(
    rows: Sequence[LayerStatistics], layers: Sequence[Layer], costs: Costs, whole: ModelCosts
) -> tuple[ModuleCost, ...]:
    """Costs of the modules that hold several layers or other modules, each before those within."""
    overall = {row.layer: row for row in rows if row.label is None}
    judged = {cost.layer.layer: cost for cost in costs.layers}
    members: dict[tuple[str, ...], list[Layer]] = {}
    for layer in layers:
        for depth in range(1, len(layer.cluster) + 1):
            members.setdefault(layer.cluster[:depth], []).append(layer)
    # Parallel modules take turns in the order of the layers, so each has its place by its first.
    places = {each: place for place, each in enumerate(members)}
    tree = sorted(members, key=lambda each: [places[each[: n + 1]] for n in range(len(each))])
    found = []
    for each in tree:
        held = members[each]
        names = [layer.name for layer in held]
        parameters = _sum(whole.parameters[name] for name in names)
        products = _sum(whole.multiply_adds[name] for name in names)
        computing = [judged[name] for name in names if name in judged]
        idle = [cost.idle for cost in computing if cost.idle is not None]
        channels = sum(cost.seen.channels for cost in computing)
        dead = _sum(_count_dead(cost) for cost in computing)
        found.append(
            ModuleCost(
                module=_name(held[0], len(each)),
                depth=len(each),
                layers=len(held),
                parameters=None if parameters is None else int(parameters),
                parameter_share=costs.parameters.share(parameters),
                multiply_adds=products,
                multiply_add_share=costs.multiply_adds.share(products),
                values=_sum(_size(overall.get(name)) for name in names),
                channels=channels,
                dead_channels=None if dead is None or not channels else dead / channels,
                idle=sum(idle) if idle else None,
                is_bound=bool(idle) and any(map(_is_unsure, computing)),
            )
        )
    return tuple(found)


def outermost(modules: Sequence[ModuleCost], most: int) -> Iterator[ModuleCost]:
    """The modules down to the largest depth with at most so many; of depth 1 the first ones."""
    deepest = max((each.depth for each in modules), default=1)
    while deepest > 1 and sum(each.depth <= deepest for each in modules) > most:
        deepest -= 1
    shown = [each for each in modules if each.depth <= deepest]
    yield from shown[:most]


def _name(layer: Layer, depth: int) -> str:
    """A module's path; Keras' nested models have their own names, without those around."""
    return layer.cluster[depth - 1] if layer.module is not None else "/".join(layer.cluster[:depth])


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    total = [part for part in known if part is not None]
    return sum(total) if len(total) == len(known) else None


def _size(row: LayerStatistics | None) -> float | None:
    return None if row is None else (row.values + row.not_finite) / row.samples


def _count_dead(cost: LayerCost) -> int | None:
    return None if cost.seen.dead_indices is None else len(cost.seen.dead_indices)


def _is_unsure(cost: LayerCost) -> bool:
    return cost.is_bound or (cost.idle is None and not cost.is_classifier)
