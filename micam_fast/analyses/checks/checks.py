"""Two checks of a model's maps, and their numbers in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from micam_fast.analyses.checks.cascade import Cascade, RankedMap, randomize_in_steps, rank_maps
from micam_fast.analyses.checks.curves import CellOrders, Curves, erase_in_steps, order_grid
from micam_fast.analyses.checks.erasing import Eraser
from micam_fast.analyses.checks.tables import check_lines
from micam_fast.analyses.checks.variants import OnProgress, Variants
from micam_fast.api.model import Model
from micam_fast.core.choices import PROJECTIONS, Projection, check_choice
from micam_fast.core.csv_writing import write_csv
from micam_fast.core.errors import SampleError
from micam_fast.core.output_files import remove_file
from micam_fast.core.prediction import Prediction
from micam_fast.engine.loaded_model import SampleLike
from micam_fast.engine.streaming import Found
from micam_fast.samples import Arrays, bare_samples

MOST_STEPS = 16
DRAWS = 3

_LAYER_COLUMNS = (
    "layer", "first_step", "own_correlation", "own_strength_correlation", "all_correlation",
    "all_strength_correlation", "deletion_area", "insertion_area", "random_area",
    "deletion_below_random", "insertion_above_random", "samples",
)  # fmt: skip
_STEP_COLUMNS = ("step", "random_from", "layer", "correlation", "strength_correlation", "count")
_CURVE_COLUMNS = ("order", "curve", "share", "probability")


@dataclass(frozen=True, eq=False)
class Check:
    """What two checks say of a model's maps, over some samples.

    Attributes
    ----------
    model
        Its name.
    projection
        Of the maps.
    cascade
        Rank correlations of the maps with their originals, while weights become random.
    curves
        Deletion and insertion; ``None`` where they cannot be drawn.
    no_curves
        Why there are none, in words.
    counted
        Indices of the samples that were checked.
    failed
        Error of each sample that was not, by its index.
    """

    model: str
    projection: Projection
    cascade: Cascade
    curves: Curves | None
    no_curves: str
    counted: tuple[int, ...]
    failed: dict[int, SampleError]

    def __str__(self) -> str:
        """Both tables, each with what it comes to."""
        lines = check_lines(self.cascade, self.curves, self.no_curves, len(self.counted))
        return "\n".join(lines)

    def save(self, path: str | Path) -> tuple[Path, ...]:
        """Write the numbers as CSV.

        Parameters
        ----------
        path
            Of the table with a row for each layer: the rank correlations of its map with its
            original, and of their absolute values, with its own weights random (the first step
            that reaches it) and with all; the areas of deletion and insertion. Beside it lie
            ``NAME_steps.csv`` with all steps of the randomization, and ``NAME_curves.csv``; one of
            an earlier check is removed where this one has no curves.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        OutputError
            If one cannot be written.
        """
        path = Path(path)
        steps = path.with_name(f"{path.stem}_steps{path.suffix}")
        write_csv(path, _LAYER_COLUMNS, self._layer_rows())
        write_csv(steps, _STEP_COLUMNS, self._step_rows())
        curves = path.with_name(f"{path.stem}_curves{path.suffix}")
        if self.curves is None:
            remove_file(curves)
            return path, steps
        write_csv(curves, _CURVE_COLUMNS, _curve_rows(self.curves))
        return path, steps, curves

    def _layer_rows(self) -> Iterator[Sequence[object]]:
        curves = self.curves
        for name in self.cascade.layers:
            own, last = self.cascade.own(name), self.cascade.last(name)
            first = self.cascade.first[self.cascade.layers.index(name)]
            areas: Sequence[object] = (None,) * 5
            if curves is not None and name in curves.layers:
                areas = (*map(_cell, curves.areas(name)), *curves.better_than_random(name))
            step = None if first is None else first + 1
            yield (name, step, *map(_cell, (*own, *last)), *areas, len(self.counted))

    def _step_rows(self) -> Iterator[Sequence[object]]:
        cascade = self.cascade
        for step, names in enumerate(cascade.steps):
            for column, name in enumerate(cascade.layers):
                found = cascade.signed[step, column], cascade.strength[step, column]
                count = int(cascade.counts[step, column])
                yield step + 1, names[-1], name, *map(_cell, found), count


def _curve_rows(curves: Curves) -> Iterator[Sequence[object]]:
    for layer, name in enumerate(curves.layers):
        for curve, values in (("deletion", curves.deletion), ("insertion", curves.insertion)):
            for share, value in zip(curves.shares, values[layer], strict=True):
                yield name, curve, float(share), _cell(value)
    for curve, random in (("deletion", curves.random), ("insertion", curves.random[::-1])):
        for share, value in zip(curves.shares, random, strict=True):
            yield None, curve, float(share), _cell(value)


def _cell(value: float) -> float | None:
    """A number; an empty cell where it is not defined."""
    return None if np.isnan(value) else float(value)


@dataclass(frozen=True, eq=False)
class _Original:
    """What is kept of a sample's maps."""

    ranks: Mapping[str, RankedMap]
    orders: CellOrders
    predicted: Prediction | None


def check(
    model: Model,
    samples: Iterable[SampleLike | SampleError],
    *,
    projection: Projection = "published",
    steps: int = MOST_STEPS,
    draws: int = DRAWS,
    seed: int = 0,
    done: OnProgress = lambda what, done, total: None,
) -> Check:
    """Check whether a model's maps depend on what it has learned, and on what it decides by.

    Two checks of the literature, see `randomize_in_steps` and `erase_in_steps`: the maps are
    compared with those of the same model with random weights (Adebayo et al., "Sanity Checks for
    Saliency Maps", 2018); and where a map lies on the input's grid, the input's cells are erased in
    the order of the map's strength (Petsiuk et al., "RISE", 2018). All samples, and the ranks of
    their maps, are held in memory.

    Parameters
    ----------
    model
        The model; the layers that it maps are checked.
    samples
        As `Model.explain_many` takes them. An error in the place of a sample is one that failed.
    projection
        Of the maps.
    steps
        Most steps of the randomization; a model of more layers with weights goes several layers a
        step.
    draws
        How many times random weights are drawn.
    seed
        Of all random numbers: the same one gives the same result.
    done
        Takes what is going on, how much of it is done, and how much there is.

    Returns
    -------
    Check

    Raises
    ------
    SampleError
        If there is no sample that can be run.
    ValueError
        If the projection is unknown, or `steps` or `draws` less than 1.
    """
    check_choice("projection", projection, PROJECTIONS)
    for name, number in (("steps", steps), ("draws", draws)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    variants = Variants(model)
    given = list(map(model.fit, bare_samples(samples, model.inputs)))

    def keep(index: int, found: Found) -> _Original | SampleError:
        sample = given[index]
        if isinstance(found, SampleError):
            return found
        assert not isinstance(sample, SampleError)
        eraser = Eraser(model.inputs, sample)
        orders = order_grid(found, eraser, model.inputs, (seed, index, 1))
        return _Original(rank_maps(found), orders, found.prediction)

    originals: dict[int, _Original] = {}
    failed: dict[int, SampleError] = {}
    for index, found in enumerate(model.stream(given, keep, projection=projection)):
        if isinstance(found, SampleError):
            failed[index] = found
        else:
            originals[index] = found
    if not originals:
        raise next(iter(failed.values()), SampleError("there is no sample to check"))
    chosen = [sample for index in originals if not isinstance(sample := given[index], SampleError)]
    cascade = randomize_in_steps(
        variants,
        chosen,
        [each.ranks for each in originals.values()],
        projection=projection,
        most_steps=steps,
        draws=draws,
        seed=seed,
        done=done,
    )
    curves, no_curves = _draw_curves(variants, model, chosen, list(originals.values()), seed, done)
    return Check(model.name, projection, cascade, curves, no_curves, tuple(originals), failed)


def _draw_curves(
    variants: Variants,
    model: Model,
    samples: Sequence[Arrays],
    originals: Sequence[_Original],
    seed: int,
    done: OnProgress,
) -> tuple[Curves | None, str]:
    """Deletion and insertion, or why there is none."""
    chosen = [
        (sample, each.orders, each.predicted)
        for sample, each in zip(samples, originals, strict=True)
        if each.predicted is not None
    ]
    if model.graph.answer is None:
        return None, "no output is known to say classes; name one as the prediction"
    if not chosen:
        return None, "the model gives no class vector"
    on_grid = {name for _, orders, _ in chosen for name in orders}
    layers = [layer.name for layer in model.layers if layer.name in on_grid]
    if not layers:
        return None, "no map lies on the grid of the input"
    parts = zip(*chosen, strict=True)
    curves = erase_in_steps(variants, model.inputs, *parts, layers=layers, seed=seed, done=done)
    return curves, ""
