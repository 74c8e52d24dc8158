"""Weight randomization from the output back to the input, and what it does to each map."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.analyses.checks.ranks import mean_of_defined, standard_ranks
from micam_fast.analyses.checks.variants import OnProgress, Variants
from micam_fast.core.choices import Projection
from micam_fast.core.errors import SampleError
from micam_fast.engine.sample_result import SampleResult
from micam_fast.models.onnx.randomizing import LayerWeights
from micam_fast.samples import Arrays

RankedMap = tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]
"""Standard ranks of a map and of its absolute values; ``None`` where they are not defined."""

_UNDEFINED: RankedMap = (None, None)


@dataclass(frozen=True, eq=False)
class Cascade:
    """Rank correlations of the maps with their originals, while weights become random.

    Attributes
    ----------
    steps
        The layers whose weights each step makes random, in the order in which that happened. Those
        of the steps before stay random.
    layers
        Layers with a map, in the diagram's order.
    first
        For each of `layers`: the step that first reaches its map, through weights of its own or of
        a layer that it depends on; ``None`` if none does.
    signed, strength
        ``(steps, layers)``: Spearman's rank correlation of the map and of its absolute values,
        the mean over samples and draws; NaN where it is not defined for any (a map that is
        constant or not finite).
    counts
        ``(steps, layers)``: how many samples and draws `signed` is the mean of.
    draws
        How many times random weights were drawn.
    """

    steps: tuple[tuple[str, ...], ...]
    layers: tuple[str, ...]
    first: tuple[int | None, ...]
    signed: NDArray[np.float64]
    strength: NDArray[np.float64]
    counts: NDArray[np.intp]
    draws: int

    def own(self, layer: str) -> tuple[float, float]:
        """`signed` and `strength` of a layer after the first step that reaches its map."""
        first = self.first[self.layers.index(layer)]
        return (np.nan, np.nan) if first is None else self._after(first, layer)

    def last(self, layer: str) -> tuple[float, float]:
        """`signed` and `strength` of a layer with all weights random."""
        reached = self.first[self.layers.index(layer)] is not None
        return self._after(len(self.steps) - 1, layer) if reached else (np.nan, np.nan)

    def _after(self, step: int, layer: str) -> tuple[float, float]:
        place = step, self.layers.index(layer)
        return float(self.signed[place]), float(self.strength[place])


def rank_maps(result: SampleResult) -> dict[str, RankedMap]:
    """Every map of a sample as ranks; those of a layer with NaN or infinities are not defined."""
    return {
        name: (_rank(cam), _rank(np.abs(cam)))
        if np.isfinite(result.ranges[name][0])
        else _UNDEFINED
        for name, cam in result.cams.items()
    }


def _rank(values: NDArray[np.float32]) -> NDArray[np.float32] | None:
    ranks = standard_ranks(values)
    return None if ranks is None else ranks.astype(np.float32)


def randomize_in_steps(
    variants: Variants,
    samples: Sequence[Arrays],
    originals: Sequence[Mapping[str, RankedMap]],
    *,
    projection: Projection,
    most_steps: int,
    draws: int,
    seed: int,
    done: OnProgress,
) -> Cascade:
    """The cascading randomization of Adebayo et al., "Sanity Checks for Saliency Maps" (2018).

    From the output back to the input the weights of one layer after the other are made random, and
    stay so; after each step every map is computed again and compared with its original by
    Spearman's rank correlation, as it is and in its absolute values (their section 3.1). A map
    that stays as it was does not depend on what the model has learned. Where a layer's map is
    weighted by its own kernel and bias, it changes with those first.

    Parameters
    ----------
    samples, originals
        Samples, and the ranks of their maps.
    most_steps
        A model of more layers with weights goes several layers a step, as evenly as it can be.
    draws
        How many times to do it all, with other random numbers. A random kernel turns the sign of a
        map as often as not, so that one draw says little.
    """
    weights = variants.find_weights()
    steps = plan_steps(weights, most_steps)
    reached = first_steps(weights, steps)
    layers = tuple(originals[0])
    defined = np.array(
        [[[part is not None for part in each[n]] for n in layers] for each in originals]
    )
    unchanged = np.where(defined, 1.0, np.nan)

    def run(job: tuple[int, int]) -> NDArray[np.float64]:
        """Correlations ``(samples, layers, 2)`` after a step of a draw."""
        step, draw = job
        changed = frozenset(name for name in layers if reached.get(name, len(steps)) <= step)
        found = unchanged.copy()
        if not changed:
            return found
        keys = {key for each in steps[: step + 1] for name in each for key in weights[name].tensors}
        explanations = variants.explain_randomized(keys, (seed, draw), samples, changed, projection)
        for sample, explanation in enumerate(explanations):
            fresh = {} if isinstance(explanation, SampleError) else rank_maps(explanation)
            for column, name in enumerate(layers):
                if name in changed:
                    pair = originals[sample][name], fresh.get(name, _UNDEFINED)
                    found[sample, column] = _correlate(*pair)
        return found

    jobs = list(itertools.product(range(len(steps)), range(draws)))
    each_job = []
    with ThreadPoolExecutor(variants.workers) as pool:
        for correlations in pool.map(run, jobs):
            each_job.append(correlations)
            done("randomizing", len(each_job), len(jobs))
    found = np.reshape(each_job, (len(steps), draws * len(samples), len(layers), 2))
    return Cascade(
        steps=steps,
        layers=layers,
        first=tuple(reached.get(name) for name in layers),
        signed=mean_of_defined(found[..., 0], axis=1),
        strength=mean_of_defined(found[..., 1], axis=1),
        counts=np.isfinite(found[..., 0]).sum(axis=1),
        draws=draws,
    )


def plan_steps(weights: Mapping[str, LayerWeights], most: int) -> tuple[tuple[str, ...], ...]:
    """The layers that have weights, from the last one to the first, in at most so many steps.

    The weights are in the diagram's order. More layers than steps are cut into steps of as many
    layers each, or one more.
    """
    order = [name for name, each in weights.items() if each.tensors][::-1]
    if not order:
        return ()
    count = min(most, len(order))
    bounds = [round(step * len(order) / count) for step in range(count + 1)]
    return tuple(tuple(order[begin:end]) for begin, end in itertools.pairwise(bounds))


def first_steps(
    weights: Mapping[str, LayerWeights], steps: Sequence[Sequence[str]]
) -> dict[str, int]:
    """The step that first changes what a layer's map depends on; a layer that none does is missing.

    Weights that several layers share become random with the first of them.
    """
    random: dict[str, int] = {}
    for step, names in enumerate(steps):
        for name in names:
            for key in weights[name].tensors:
                random.setdefault(key, step)
    found: dict[str, int] = {}
    for name, each in weights.items():
        at = [random[key] for key in each.tensors]
        at += [found[read] for read in each.reads if read in found]
        if at:
            found[name] = min(at)
    return found


def _correlate(one: RankedMap, other: RankedMap) -> tuple[float, float]:
    """Rank correlation of two maps and of their absolute values; NaN where it is not defined."""
    signed, strength = (
        np.nan if a is None or b is None else float(np.clip(a @ b, -1, 1))
        for a, b in zip(one, other, strict=True)
    )
    return signed, strength
