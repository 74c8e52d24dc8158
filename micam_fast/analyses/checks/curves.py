"""Deletion and insertion: what the model says while the cells of strong response go or come."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.analyses.checks.erasing import Eraser
from micam_fast.analyses.checks.ranks import mean_of_defined, order_cells
from micam_fast.analyses.checks.variants import OnProgress, Variants
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import ModelInput
from micam_fast.core.prediction import Prediction
from micam_fast.engine.sample_result import SampleResult
from micam_fast.engine.streaming import Found
from micam_fast.maps.sample_maps import SampleMaps
from micam_fast.samples import Arrays

PARTS = 20
"""Parts in which the cells go or come."""

RANDOM_ORDERS = 4

CellOrders = Mapping[str, NDArray[np.intp]]
"""By layer: the cells of the input's grid, from the strongest to the weakest."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Probability of the class that the whole sample is taken for, while cells go or come.

    Attributes
    ----------
    shares
        ``(points,)`` from 0 to 1: the share of the cells that are gone (deletion), or are there
        (insertion).
    layers
        Layers whose maps lie on the input's grid, in the diagram's order.
    deletion, insertion
        ``(layers, points)``: mean over the samples. The cells go or come in the order of falling
        absolute value of the map.
    random
        ``(points,)``: deletion in random order, mean over samples and orders. Insertion in random
        order is the same, read from the right.
    deletion_areas, insertion_areas
        ``(layers, samples)``: area under each curve. A low one is good for deletion, a high one for
        insertion. NaN where a sample has no such map, or none that is finite.
    random_areas
        ``(samples,)``: of the curves in random order.
    claimed
        Whether the classes are ones: of the largest output of a dense layer nobody knows it, and
        the probabilities are those that it would have if the outputs were logits.
    """

    shares: NDArray[np.float64]
    layers: tuple[str, ...]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    random: NDArray[np.float64]
    deletion_areas: NDArray[np.float64]
    insertion_areas: NDArray[np.float64]
    random_areas: NDArray[np.float64]
    claimed: bool

    def areas(self, layer: str) -> tuple[float, float, float]:
        """Mean areas of a layer: deletion, insertion, and random order of the same samples."""
        row = self.layers.index(layer)
        areas = np.stack([self.deletion_areas[row], self.insertion_areas[row], self.random_areas])
        there = np.isfinite(areas).all(axis=0)
        deletion, insertion, random = mean_of_defined(np.where(there, areas, np.nan), axis=1)
        return float(deletion), float(insertion), float(random)

    def better_than_random(self, layer: str) -> tuple[int, int]:
        """Number of samples with less area by deletion, and more by insertion, than by chance."""
        row = self.layers.index(layer)
        less = self.deletion_areas[row] < self.random_areas
        more = self.insertion_areas[row] > self.random_areas
        return int(less.sum()), int(more.sum())


def order_grid(
    result: SampleResult, eraser: Eraser, inputs: Sequence[ModelInput], seed: Sequence[int]
) -> dict[str, NDArray[np.intp]]:
    """The cells of the input's grid by the strength of each map that lies on it.

    Lists of values (flat layers) lie on no grid, and other inputs are no maps of this one. The seed
    decides about cells of the same strength.
    """
    maps = result.maps
    assert isinstance(maps, SampleMaps)
    others = {spec.name for spec in inputs} - {eraser.name}
    found = {}
    layout = maps.layout
    for name, size, flat in zip(layout.names, layout.sizes, layout.flat, strict=True):
        on_grid = name == eraser.name or not (flat or name in others)
        if on_grid and size == result.input_size and name not in maps.bad_values:
            found[name] = order_cells(maps.cam(name), np.random.default_rng(seed))
    return found


def erase_in_steps(
    variants: Variants,
    inputs: Sequence[ModelInput],
    samples: Sequence[Arrays],
    orders: Sequence[CellOrders],
    classes: Sequence[Prediction],
    *,
    layers: Sequence[str],
    seed: int,
    done: OnProgress,
) -> Curves:
    """Deletion and insertion curves of Petsiuk et al., "RISE" (2018), section 4.2.

    Deletion takes the cells away in falling order of the map's absolute values, and insertion
    brings them in the same order into a sample of which all is erased. MiCAM's maps have both signs
    and know of no class, so that the strength of a response is what there is to order by. An area
    under such a curve says nothing alone: beside it stand random orders of the same cells, which
    have the same area for both.

    Parameters
    ----------
    samples, orders, classes
        Samples, the orders of their cells, and what each is taken for.
    layers
        All layers that are in any of `orders`, in the diagram's order.
    """
    shares = np.linspace(0, 1, PARTS + 1)
    erasers = [Eraser(inputs, sample) for sample in samples]
    random = [_random_orders(eraser.count, (seed, n)) for n, eraser in enumerate(erasers)]

    def variations() -> Iterator[Arrays]:
        for eraser, own, others in zip(erasers, orders, random, strict=True):
            yield eraser.without(np.arange(0))
            yield eraser.without(np.arange(eraser.count))
            counts = np.rint(shares * eraser.count).astype(int)[1:-1]
            for order, count in itertools.product(own.values(), counts):
                yield eraser.without(order[:count])
                yield eraser.without(order[count:])
            for order, count in itertools.product(others, counts):
                yield eraser.without(order[:count])

    found = variants.predict(variations(), _probabilities)
    deletion = np.full((len(layers), len(samples), len(shares)), np.nan)
    insertion = deletion.copy()
    chance = np.empty((len(samples), len(shares)))
    for sample, (own, predicted) in enumerate(zip(orders, classes, strict=True)):

        def take(count: int, predicted: int = predicted.index) -> NDArray[np.float64]:
            given = itertools.islice(found, count)
            return np.array([np.nan if each is None else each[predicted] for each in given])

        whole, blank = take(2)
        inner = len(shares) - 2
        for name in own:
            pairs = take(2 * inner).reshape(inner, 2)
            layer = layers.index(name)
            deletion[layer, sample] = [whole, *pairs[:, 0], blank]
            insertion[layer, sample] = [blank, *pairs[:, 1], whole]
        middle = take(RANDOM_ORDERS * inner).reshape(RANDOM_ORDERS, inner).mean(axis=0)
        chance[sample] = [whole, *middle, blank]
        done("erasing", sample + 1, len(samples))
    return Curves(
        shares=shares,
        layers=tuple(layers),
        deletion=mean_of_defined(deletion, axis=1),
        insertion=mean_of_defined(insertion, axis=1),
        random=mean_of_defined(chance, axis=0),
        deletion_areas=np.trapezoid(deletion, shares),
        insertion_areas=np.trapezoid(insertion, shares),
        random_areas=np.asarray(np.trapezoid(chance, shares)),
        claimed=all(each.claimed for each in classes),
    )


def _random_orders(count: int, seed: Sequence[int]) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(count) for _ in range(RANDOM_ORDERS)]


def _probabilities(found: Found) -> NDArray[np.float32] | None:
    if isinstance(found, SampleError) or found.prediction is None:
        return None
    return found.prediction.probabilities
