"""Samples of which some cells are erased."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.activation_axes import grid_input, view_inputs
from micam_fast.core.layers import ModelInput
from micam_fast.samples import Arrays


class Eraser:
    """Erases cells of a sample's spatial input; other inputs stay.

    A cell is a row and a column of the input with all its channels (and its depth), a step of a
    sequence with all its features, or a value of a flat input: a cell of a map that lies on the
    input's grid. What is erased becomes the mean of its channel over the sample; of a flat input,
    the mean of all values.

    Parameters
    ----------
    inputs
        The model's inputs.
    sample
        The sample, in the model's layout.

    Attributes
    ----------
    name
        Of the input that is erased: the one that SPEC's ``Hin x Win`` is the size of.
    count
        Number of cells.
    """

    def __init__(self, inputs: Sequence[ModelInput], sample: Arrays) -> None:
        arrays = {spec.name: _with_batch(sample[spec.name], spec) for spec in inputs}
        views = view_inputs(inputs, {name: array.shape for name, array in arrays.items()})
        place = grid_input(views)
        self.name, view = inputs[place].name, views[place]
        self._sample, self._array = sample, arrays[self.name]
        kept = view.space[-2:] or range(self._array.ndim)
        self._grid = tuple(n if axis in kept else 1 for axis, n in enumerate(self._array.shape))
        self.count = math.prod(self._grid)
        merged = tuple(axis for axis in range(self._array.ndim) if axis not in view.channels)
        mean = self._array.mean(axis=merged, keepdims=True, dtype=np.float64)
        whole = self._array.dtype.kind != "f"
        self._mean = (np.rint(mean) if whole else mean).astype(self._array.dtype)

    def without(self, cells: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """The sample without some cells, which are given by their indices, row by row."""
        gone = np.zeros(self.count, bool)
        gone[cells] = True
        erased = np.where(gone.reshape(self._grid), self._mean, self._array)
        return {**self._sample, self.name: erased.reshape(self._sample[self.name].shape)}


def _with_batch(array: NDArray[Any], spec: ModelInput) -> NDArray[Any]:
    batch = spec.axes.batch
    return array if batch is None else np.expand_dims(array, batch)
