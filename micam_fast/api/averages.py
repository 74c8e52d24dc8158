"""The mean of many samples' maps, and how much they deviate from it."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from micam_fast.api.explanation import Explanation
from micam_fast.core.errors import SampleError
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.engine.sample_result import SampleResult
from micam_fast.maps.sample_maps import MapsLayout, SampleMaps


class Average:
    """Mean and deviation of each cell of each map, sample by sample.

    Welford's method in float64, so that nothing is lost where the mean is large and the deviation
    small; parts of a data set are merged by the formula of Chan, Golub and LeVeque ("Algorithms for
    Computing the Sample Variance", 1983). A sample in which a layer is not finite does not count
    in that layer.

    Parameters
    ----------
    scene
        The model's diagram; by default that of the first sample.

    Attributes
    ----------
    count
        Samples so far.
    """

    def __init__(self, scene: ModelDiagram | None = None) -> None:
        self.count = 0
        self._scene = scene
        self._first: SampleResult | None = None
        self._owner = np.empty(0, np.intp)
        # By layer, then by cell.
        self._counts = np.empty(0)
        self._means = np.empty(0)
        self._squares = np.empty(0)
        self._bad_values: Counter[str] = Counter()

    def add(self, explanation: SampleResult) -> None:
        """Count a sample in.

        Raises
        ------
        SampleError
            If its maps are not of the same layers and sizes as those before.
        """
        maps = _maps(explanation)
        self._start(explanation)
        finite = np.isfinite(maps.ranges[:, 0])
        values = np.where(finite[self._owner], maps.cells, 0.0)
        self._merge(1, finite.astype(np.float64), values, np.zeros(len(values)))
        self._bad_values.update(maps.bad_values)

    def merge(self, other: Average) -> None:
        """Count in all samples of another average of the same model.

        Raises
        ------
        SampleError
            If its maps are not of the same layers and sizes.
        """
        if other._first is None:
            return
        self._start(other._first)
        self._merge(other.count, other._counts, other._means, other._squares)
        self._bad_values.update(other._bad_values)

    def mean(self, *, sample: str = "", label: str | None = None) -> Explanation:
        """The mean maps as an explanation, without a prediction.

        Parameters
        ----------
        sample, label
            What the header calls it.

        Raises
        ------
        SampleError
            If there was no sample.
        """
        return self._explain(self._means, sample, label)

    def deviation(self, *, sample: str = "", label: str | None = None) -> Explanation:
        """The population standard deviation of each cell as an explanation; see `mean`."""
        counts = np.maximum(self._counts, 1)[self._owner]
        return self._explain(np.sqrt(self._squares / counts), sample, label)

    def _start(self, explanation: SampleResult) -> None:
        layout = _maps(explanation).layout
        if self._first is None:
            self._first = explanation
            total = int(layout.slots[:, 1].sum())
            self._owner = np.empty(total, np.intp)
            for layer, (begin, end) in enumerate(layout.bounds):
                self._owner[begin:end] = layer
            self._counts = np.zeros(len(layout.names))
            self._means, self._squares = np.zeros(total), np.zeros(total)
            return
        known = _maps(self._first).layout
        if known != layout and not _alike(known, layout):
            raise SampleError(
                f"{_name(explanation) or 'a sample'} has maps of other sizes than "
                f"{_name(self._first) or 'the first one'}; only samples of one shape have a mean"
            )

    def _merge(
        self,
        count: int,
        counts: NDArray[np.float64],
        means: NDArray[np.float64],
        squares: NDArray[np.float64],
    ) -> None:
        both = self._counts + counts
        share = (counts / np.maximum(both, 1))[self._owner]
        step = means - self._means
        self._means += step * share
        self._squares += squares + step * step * share * self._counts[self._owner]
        self._counts = both
        self.count += count

    def _explain(self, cells: NDArray[np.float64], sample: str, label: str | None) -> Explanation:
        if self._first is None:
            raise SampleError("there is no sample to take the mean of")
        layout = _maps(self._first).layout
        values = cells.astype(np.float32)
        ranges = np.full((len(layout.names), 2), np.nan)
        bad_values = {}
        for layer, (begin, end) in enumerate(layout.bounds):
            if self._counts[layer]:
                ranges[layer] = values[begin:end].min(), values[begin:end].max()
            else:
                bad_values[layout.names[layer]] = self._bad_values[layout.names[layer]]
        maps = SampleMaps(layout, values, ranges, bad_values)
        scene = self._scene
        if scene is None:
            assert isinstance(self._first, Explanation), "an average of bare results needs a scene"
            scene = self._first.scene
        return Explanation(
            maps, maps.global_range, None, None, self._first.input_size, scene, sample, label
        )


def _name(result: SampleResult) -> str:
    return result.sample if isinstance(result, Explanation) else ""


def _maps(explanation: SampleResult) -> SampleMaps:
    maps = explanation.maps
    assert isinstance(maps, SampleMaps)
    return maps


def _alike(one: MapsLayout, other: MapsLayout) -> bool:
    same = one.names == other.names and one.sizes == other.sizes
    return same and np.array_equal(one.slots, other.slots)
