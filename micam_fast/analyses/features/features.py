"""The strongest cells of each layer's map, and the input cells that they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.analyses.features.receptive_fields import Ranges, ReceptiveFields
from micam_fast.api.explanation import Explanation
from micam_fast.api.model import Model
from micam_fast.core.choices import Projection
from micam_fast.core.lru import LruCache
from micam_fast.engine.loaded_model import SampleLike
from micam_fast.samples import fit_sample

_KEPT_SHAPES = 8


@dataclass(frozen=True)
class Feature:
    """A cell of a layer's map, followed back to the input.

    Attributes
    ----------
    layer
        Its name.
    row, column
        Of the cell, on the map's own grid, from 0.
    value
        Of the map there.
    rows, columns
        First and last row, and column, of the input that the value depends on; several ranges where
        the cell reads parts of its layer that are not neighbours. None where it depends on nothing.
    exact
        Whether the ranges are those that the value depends on; else it depends on these at most.
    """

    layer: str
    row: int
    column: int
    value: float
    rows: Ranges
    columns: Ranges
    exact: bool


class FeatureFinder:
    """Finds the strongest cells of samples; what it learns of a model serves all of them.

    Parameters
    ----------
    model
        The model.
    projection
        That the samples are explained by.
    """

    def __init__(self, model: Model, projection: Projection = "published") -> None:
        self._model, self._projection = model, projection
        self._known: LruCache[tuple[Any, ...], ReceptiveFields] = LruCache(_KEPT_SHAPES)

    def find(
        self, explanation: Explanation, sample: SampleLike, *, top: int = 3
    ) -> tuple[Feature, ...]:
        """The cells with the largest absolute values of each spatial layer's map.

        Parameters
        ----------
        explanation
            Of the sample, by the model and under the projection.
        sample
            What was explained.
        top
            How many cells of each layer.

        Returns
        -------
        tuple of Feature
            In the order of the layers, the strongest first; of equal ones the first in row-major
            order. Flat layers, and maps that are not finite, are left out.

        Raises
        ------
        SampleError
            If the sample does not fit the model.
        ValueError
            If `top` is less than 1.
        """
        if top < 1:
            raise ValueError(f"top must be at least 1, not {top}")
        fields = self.fields(explanation, sample)
        features = []
        for name, cam in explanation.cams.items():
            layer = fields.layer(name) if np.isfinite(cam).all() else None
            if layer is None:
                continue
            for place in strongest_places(cam, top):
                row, column = divmod(int(place), cam.shape[1])
                field = layer.cell(row, column)
                ranges = field.row_ranges, field.column_ranges
                value = float(cam[row, column])
                features.append(Feature(name, row, column, value, *ranges, field.exact))
        return tuple(features)

    def fields(self, explanation: Explanation, sample: SampleLike) -> ReceptiveFields:
        """Receptive fields of all cells of all maps of a sample; parameters as in `find`."""
        arrays = fit_sample(sample, self._model.inputs, remedy="find the features of one by one")
        cams = explanation.cams
        key = tuple(sorted((name, array.shape) for name, array in arrays.items()))
        return self._known.get_or_make((key, frozenset(cams)), lambda: self._follow(arrays, cams))

    def _follow(
        self, arrays: Mapping[str, NDArray[Any]], cams: Mapping[str, NDArray[np.float32]]
    ) -> ReceptiveFields:
        model = self._model
        sizes = {name: (cam.shape[0], cam.shape[1]) for name, cam in cams.items()}
        return ReceptiveFields(
            model.file,
            model.find_graph(arrays),
            sizes,
            self._projection,
            arrays,
            providers=model.providers,
            sizes=sizes,
        )


def strongest_features(
    model: Model,
    sample: SampleLike,
    *,
    top: int = 3,
    projection: Projection = "published",
    frame: int | None = None,
) -> tuple[Feature, ...]:
    """Explain a sample, and follow the strongest cells of each spatial layer back to the input.

    Parameters
    ----------
    model
        From `load_model`.
    sample, projection, frame
        As in `Model.explain`.
    top
        How many cells of each layer.

    Returns
    -------
    tuple of Feature
        As `FeatureFinder.find` gives it.

    Raises
    ------
    SampleError, ValueError
        As `Model.explain` does; a ValueError also if `top` is less than 1.

    Examples
    --------
    >>> import micam_fast
    >>> from micam_fast.demo import DIGITS, MODEL
    >>> model = micam_fast.load_model(MODEL, layers="conv_1")
    >>> (feature,) = strongest_features(model, np.load(DIGITS)[3], top=1)
    """
    explanation = model.explain(sample, projection=projection, frame=frame)
    return FeatureFinder(model, projection).find(explanation, sample, top=top)


def strongest_places(cam: NDArray[np.float32], top: int) -> NDArray[np.intp]:
    """Indices of the cells with the largest absolute values, the first of equal ones first."""
    sizes = np.abs(cam.reshape(-1))
    count = min(top, len(sizes))
    least = np.partition(sizes, len(sizes) - count)[len(sizes) - count]
    places = np.flatnonzero(sizes >= least)
    return places[np.argsort(-sizes[places], kind="stable")][:count]


def show_ranges(ranges: Ranges, names: tuple[str, ...] | None = None) -> str:
    """Ranges as text: ``"3..9"``, ``"0..1 and 26..27"``, ``"cpu_user..cpu_sys"``."""
    shown = [[str(at) if names is None else names[at] for at in each] for each in ranges]
    return " and ".join(first if first == last else f"{first}..{last}" for first, last in shown)
